/* Who is dead: section 4 of docs/holds.md, and time. */
#include "state.h"

static int smaller(int a, int b) {
    return a < b ? a : b;
}

static bool reaches(const State *s, const Client *x) {
    return x->alive && !x->stopped && x->background && !x->deaf && !x->cut_off && s->up;
}

static bool has_record(const State *s, int c) {
    for (int name = 0; name < NAMES; name++)
        if (s->data.record[c][name]) return true;
    return false;
}

/* H5: with a ring a session watches the next one of the list of its host. It reads that list when
 * it enters, settles, has removed one, and at each look. */
void read_siblings(State *s, int c) {
    if (!config.ring) return;
    s->watches[c] = 0;
    for (int k = 1; k < config.clients && !s->watches[c]; k++) {
        int o = (c + k) % config.clients;
        if (are_siblings(c, o) && has_record(s, o)) s->watches[c] = o + 1;
    }
}

static bool watches(const State *s, int c, int o) {
    return are_siblings(c, o) && (!config.ring || s->watches[c] == o + 1);
}

/* H6: while a sibling has a connection and watches it, not while it merely has a record. */
static bool is_vouched_for(const State *s, int c) {
    for (int o = 0; o < config.clients; o++)
        if (watches(s, o, c) && is_listed(s, o)) return true;
    return false;
}

/* The newest name of a session that has a record and is registered; -1: there is none. */
static int listed_name(const State *s, int c) {
    for (int name = NAMES; name--;)
        if (s->data.record[c][name] && s->data.registered[c][name]) return name;
    return -1;
}

/* What a look tells of one other session. H7: with a new run everything is measured anew. */
static void measure(State *s, int c, int o, bool is_new_run) {
    Watch *w = &s->watch[c][o];
    int name = listed_name(s, o);
    if (name < 0) {
        *w = (Watch){0};
        return;
    }
    int counter = s->data.record[o][name];
    if (w->name != name || w->counter != counter || (is_new_run && !left_out[OVER_RESTART]))
        *w = (Watch){.name = name, .counter = counter};
    if (is_present(s, o))
        w->absent = w->absent_for = 0;
    else
        w->absent = 1;
    bool is_away = w->absent && (w->absent_for >= config.G || left_out[NO_GRACE]);
    bool is_dead = w->age >= config.L || (is_away && !is_vouched_for(s, o));
    if (is_dead && !s->verdict[c]) {
        s->verdict[c] = o + 1;
        s->verdict_name[c] = name;
        s->verdict_counter[c] = counter;
    }
}

/* look */
bool look(State *s, int c) {
    const Client *x = &s->client[c];
    if (!reaches(s, x) || s->verdict[c] || x->lapsed) return false;
    if (x->request.stage != BLOCKED && !closing && !config.looks) return false;
    changes(s);
    if (left_out[MOVED_FIRST])
        for (int o = 0; o < config.clients; o++) {
            const Watch *w = &s->watch[c][o];
            if (o != c && w->age >= config.L && w->counter == s->data.record[o][w->name])
                for (int p = 0; p < s->client[o].places; p++) empty_place(s, o, p);
        }
    sweep(s);
    read_siblings(s, c);
    bool is_new_run = s->watched_run[c] != s->run;
    s->watched_run[c] = s->run;
    s->looked[c] = 1;
    for (int o = 0; o < config.clients; o++)
        if (o != c) measure(s, c, o, is_new_run);
    return true;
}

/* bury: only if the counter is still what was seen, and (H8) in the same run. */
bool bury(State *s, int c) {
    if (!reaches(s, &s->client[c]) || !s->verdict[c]) return false;
    changes(s);
    int o = s->verdict[c] - 1, name = s->verdict_name[c];
    int counter = s->data.record[o][name];
    bool is_of_this_run = s->watched_run[c] == s->run || left_out[OLD_VERDICT];
    if (is_of_this_run && (counter == s->verdict_counter[c] || (left_out[NO_CONDITION] && counter)))
        remove_record(s, o, name);
    s->watch[c][o] = (Watch){0};
    s->verdict[c] = s->verdict_name[c] = s->verdict_counter[c] = 0;
    return true;
}

/* sibling saw an end: its records are removed without comparing. H5: it looks again after each
 * change, for a record may come back. */
bool sibling_saw_end(State *s, int c) {
    if (!reaches(s, &s->client[c])) return false;
    bool any = false;
    for (int o = 0; o < config.clients; o++) {
        if (!watches(s, c, o) || s->client[o].alive) continue;
        if (left_out[WATCHED_ONCE] && (s->ends_seen[c] >> o & 1)) continue;
        for (int name = 0; name < NAMES; name++)
            if (s->data.record[o][name]) {
                s->data.record[o][name] = 0;
                s->ends_seen[c] |= left_out[WATCHED_ONCE] << o;
                any = true;
            }
    }
    if (any) {
        changes(s);
        read_siblings(s, c);
    }
    return any;
}

/* Who can, sends a heartbeat in each tick; and (b): who lost its connections is back within G. */
static bool may_tick(const State *s) {
    for (int c = 0; c < config.clients; c++) {
        const Client *x = &s->client[c];
        if (!x->alive || !s->up) continue;
        bool is_up_to_date = x->beaten && x->background && !x->lapsed && has_settled(s, x);
        if (!x->stopped && !x->cut_off && !x->deaf && !is_up_to_date) return false;
        if (config.assume && !is_vouched_for(s, c) && x->age < config.L && x->gone) return false;
    }
    return true;
}

/* A tick of everybody's own clock. What a looker measures counts only if the server answered it. */
bool tick(State *s, int c) {
    if (c || !may_tick(s)) return false;
    bool answers = s->up && !s->down;
    for (int i = 0; i < config.clients; i++) {
        Client *x = &s->client[i];
        if (x->alive) {
            if (x->age < config.L) x->age++;
            if (x->beat) x->beat_age = smaller(x->beat_age + 1, config.L);
            if (answers && x->silent < config.L) x->silent++;
            if (answers && x->gone && x->away < config.G) x->away++;
            x->beaten = 0;
        }
        if (left_out[SERVER_CLOCK] && s->data.record[i][x->name] && ++s->ttl[i] >= config.L)
            remove_record(s, i, x->name);
        for (int o = 0; o < config.clients; o++) {
            Watch *w = &s->watch[i][o];
            bool counts =
                w->counter && ((s->looked[i] && answers) || left_out[UNANSWERED_TIME]);
            if (counts && w->age < config.L) w->age++;
            if (counts && w->absent && w->absent_for < config.G) w->absent_for++;
        }
        s->looked[i] = 0;
    }
    s->down = !s->up;
    return true;
}
