/* What has to be so in every state: section 1 of docs/holds.md. */
#include "state.h"

/* S1, S2, S4 */
void check(State *s) {
    if (s->wrong) return;
    int elements = s->data.free, holders = 0;
    for (int c = 0; c < config.clients; c++) {
        Client *x = &s->client[c];
        for (int p = 0; p < PLACES; p++) elements += s->data.at[c][p];
        bool holds = x->alive && x->doing == HOLDING;
        if (holds && x->age < config.L && !x->freed && !x->undone && !x->robbed) {
            holders++;
            if (!s->data.at[c][x->place]) s->wrong = FALSE_BELIEF;
        }
        if (x->alive && s->up && !is_listed(s, c)) x->gone = 1;
        if (holds && x->undone && x->run == s->run && s->up) s->wrong = FALSE_BELIEF;
    }
    /* One that was robbed must not have the larger token. */
    for (int c = 0; c < config.clients && config.n == 1; c++) {
        const Client *x = &s->client[c];
        if (!x->alive || !x->robbed) continue;
        int token = x->doing == HOLDING                 ? x->token
                    : x->request.stage == ANSWERED ? x->request.token
                                                   : 0;
        for (int o = 0; o < config.clients && token; o++) {
            const Client *y = &s->client[o];
            bool holds = o != c && y->alive && y->doing == HOLDING && y->age < config.L;
            if (holds && !y->robbed && !y->undone && y->token <= token) s->wrong = TOKEN;
        }
    }
    if (holders > config.n) s->wrong = TWO_HOLDERS;
    if (elements != config.n) s->wrong = COUNT;
}

static void try_all(State *s, int c, StepFunction *const *all, int count) {
    for (int i = 0; i < count; i++) all[i](s, c);
}

/* Everybody does what there is to do, and takes nothing. */
static void come_to_rest(State *s) {
    static StepFunction *const all[] = {
        background_returns, send_beat,        beat_arrives, enter,
        recover,            send_settling,    settling_arrives, next_command,
        clear_former_place, hear,             release,      sibling_saw_end};
    for (int k = 0; k < 8; k++)
        for (int c = 0; c < config.clients; c++) {
            if (!s->client[c].alive) continue;
            s->client[c].wants = 0;
            try_all(s, c, all, sizeof all / sizeof *all);
        }
}

static bool is_at_rest(const State *s) {
    if (s->data.free != config.n) return false;
    for (int c = 0; c < config.clients; c++) {
        const Client *x = &s->client[c];
        if (x->alive && (x->doing != IDLE || !has_settled(s, x) || x->lapsed)) return false;
    }
    return true;
}

static bool any_alive(const State *s) {
    for (int c = 0; c < config.clients; c++)
        if (s->client[c].alive) return true;
    return false;
}

/* L: each that is alive gets an element, and gives it back. */
static Wrong takes_once(State *s, int c) {
    static StepFunction *const all[] = {send_beat,     beat_arrives,     enter,
                                        send_settling, settling_arrives, register_first};
    Client *x = &s->client[c];
    x->takes = 1;
    for (int k = 0; k < 30 && x->doing != HOLDING; k++) {
        try_all(s, c, all, sizeof all / sizeof *all);
        if (!take(s, c) && !next_command(s, c)) hear(s, c);
    }
    if (s->wrong) return s->wrong;
    if (x->doing != HOLDING) return NO_PROGRESS;
    release(s, c);
    next_command(s, c);
    hear(s, c);
    if (s->wrong) return s->wrong;
    return s->data.free == config.n ? RIGHT : GHOST;
}

/* The quiet end: no fault comes any more; all go on, and release. S2 and S3: each element is free
 * then. It takes no longer than lease and grace. */
Wrong quiet_end(const State *from) {
    static StepFunction *const all[] = {resumed, healed, background_notices,
                                        old_connections_noticed};
    State end = *from, *s = &end;
    if (!s->up) restarted(s, 0);
    s->faults = s->crashes = s->has_saved = 0;
    for (int c = 0; c < config.clients; c++) {
        try_all(s, c, all, sizeof all / sizeof *all);
        s->client[c].takes = s->client[c].frees = s->client[c].wants = 0;
    }
    for (int round = 0; round < 3 * config.L + 4; round++) {
        come_to_rest(s);
        if (s->wrong) return s->wrong;
        if (is_at_rest(s)) break;
        if (!any_alive(s)) { /* somebody new comes */
            for (int c = 0; c < config.clients; c++)
                for (int name = 0; name < NAMES; name++) s->data.record[c][name] = 0;
            sweep(s);
            break;
        }
        closing = true;
        for (int c = 0; c < config.clients; c++)
            if (s->client[c].alive) {
                look(s, c);
                bury(s, c);
            }
        closing = false;
        if (s->wrong) return s->wrong;
        tick(s, 0);
    }
    if (s->data.free != config.n) return GHOST;
    for (int c = 0; c < config.clients; c++)
        if (s->client[c].alive) {
            Wrong wrong = takes_once(s, c);
            if (wrong) return wrong;
        }
    return RIGHT;
}
