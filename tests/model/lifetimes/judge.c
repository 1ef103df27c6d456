/* What has to be so in every state, and the quiet end that is played from each. */
#include <string.h>

#include "state.h"

u8 reached_from(const Server *s, u8 todo) {
    u8 seen = 0;
    while (todo) {
        int x = first_of(todo);
        seen |= bit(x);
        todo = (todo | s->inside[x]) & ~seen;
    }
    return seen;
}

u8 contents_of_names(const Server *s) {
    u8 found = 0;
    for (int i = 0; i < config.names; i++)
        if (s->state[i] != ABSENT) found |= s->inside[i];
    return found;
}

/* All that a name, a living process or a message under way leads to. */
u8 all_roots(const State *s) {
    u8 found = contents_of_names(&s->server);
    for (int c = 0; c < config.clients; c++)
        if (s->client[c].alive == LIVE) found |= s->client[c].holds;
    for (int x = config.names; x < object_count(); x++)
        if (s->mail[x]) found |= bit(x);
    return reached_from(&s->server, found);
}

/* Alone, with nobody beside it, each store comes to its end. */
static bool ends(const State *s, int c) {
    State alone = *s;
    for (int k = 0; k < 30 && alone.client[c].op.kind; k++) go_on(&alone, c);
    return !alone.client[c].op.kind;
}

/* I2: what is whole contains nothing with a lease. */
static bool is_whole_kept(const Server *s) {
    for (int x = config.names; x < object_count(); x++)
        for (int y = config.names; y < object_count() && s->state[x] == WHOLE; y++)
            if (has(s->inside[x], y) && s->state[y] == LEASED) return false;
    return true;
}

static bool has_begun(const Server *s, const Look *look) {
    if (look->stage < ROOTS) return false;
    for (int i = 0; i < object_count(); i++)
        if (!is_void(s, i) && s->epoch[i] != look->epoch) return false;
    return true;
}

static bool is_white(const Server *s, int x, int epoch) {
    return is_kept(s, x) && s->score[x] < 2 * epoch;
}

/* I4: what is black contains nothing white, but what is to be marked. I6: behind the settling all
 * that anything leads to is black. */
static bool is_marked(const State *state, const Look *look) {
    const Server *s = &state->server;
    if (!has_begun(s, look)) return true;
    u8 reached = all_roots(state);
    for (int x = config.names; x < object_count(); x++) {
        if (look->stage == SWEEP && is_white(s, x, look->epoch) && has(reached, x)) return false;
        if (!is_kept(s, x) || s->score[x] != 2 * look->epoch + 1) continue;
        for (int y = config.names; y < object_count(); y++)
            if (has(s->inside[x], y) && is_white(s, y, look->epoch) && !has(look->marks, y))
                return false;
    }
    return true;
}

void check(State *s) {
    if (s->wrong) return;
    u8 named = reached_from(&s->server, contents_of_names(&s->server));
    for (int x = config.names; x < object_count(); x++)
        if (has(named, x) && s->server.state[x] == LEASED) s->wrong = HAS_LEASE;
    for (int c = 0; c < config.clients; c++)
        if (s->client[c].op.kind == STORE && !ends(s, c)) s->wrong = STUCK;
    if (s->wrong || !config.invariants) return;
    if (!is_whole_kept(&s->server)) s->wrong = INVARIANT;
    for (int k = 0; k < config.collectors; k++)
        if (!is_marked(s, &s->look[k])) s->wrong = INVARIANT;
}

/* A look by itself, from its beginning to its end. */
static bool whole_look(State *s) {
    s->young = 0;
    s->looks = 1;
    for (int k = 0; k < 1000 && may_look(s, 0); k++) {
        look_on(s, 0, false);
        end_phases(s, &s->look[0]);
    }
    return !s->looks && s->look[0].stage == REST;
}

/* A look comes to its end also while no time passes and everybody is there. */
static Wrong look_now(const State *from) {
    State now = *from;
    memset(now.look, 0, sizeof now.look);
    if (from->young) return RIGHT;
    return whole_look(&now) ? now.wrong : RESTLESS;
}

/* Nobody is left, and all entries end. Then one comes, and looks as long as there is a reason. */
Wrong quiet_end(const State *from) {
    State end = *from, *s = &end;
    Wrong wrong = look_now(from);
    if (wrong) return wrong;
    for (int c = 0; c < config.clients; c++) die(s, c);
    memset(s->look, 0, sizeof s->look);
    memset(s->mail, 0, sizeof s->mail);
    for (int k = 0; k < LAPSED; k++) pass_time(s, false);
    /* Where the clock went back reasons may be lost: now and then a look needs none. */
    bool needs_reason = config.reasons && !config.backs;
    int rounds = 0;
    for (; rounds < 4 && (is_reason(&s->server) || !(needs_reason || rounds)); rounds++) {
        if (!whole_look(s)) return RESTLESS;
        if (s->wrong) return s->wrong;
        pass_time(s, false);
    }
    if (rounds == 4) return RESTLESS;
    u8 named = reached_from(&s->server, contents_of_names(&s->server));
    for (int x = config.names; x < object_count(); x++)
        if (s->server.state[x] != ABSENT && !has(named, x)) return LEAKED;
    return RIGHT;
}
