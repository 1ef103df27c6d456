/* What clients do. Each function is one step; its comment names the operation of docs/holds.md. */
#include "state.h"

bool closing; /* the quiet end is being played: who does not wait looks all the same */

static int larger(int a, int b) {
    return a > b ? a : b;
}

static bool runs(const Client *x) {
    return x->alive && !x->stopped;
}

/* Can it use its connection in the background? */
static bool reaches(const State *s, const Client *x) {
    return runs(x) && x->background && !x->cut_off && s->up;
}

bool has_settled(const State *s, const Client *x) {
    return left_out[NO_SETTLING] || x->run == s->run;
}

bool next_place(Client *x) {
    if (x->places >= PLACES) return false;
    x->place = x->places++;
    x->name_of[x->place] = x->name;
    return true;
}

void end_hold(Client *x) {
    x->doing = IDLE;
    x->token = 0;
    x->freed = x->undone = x->robbed = 0;
}

static void end_hold_of_lapsed(Client *x) {
    x->lapsed = 1;
    if (x->doing == HOLDING) end_hold(x);
}

static Request request(const State *s, Kind kind, int place, int number) {
    return (Request){.kind = kind, .place = place, .run = s->run, .number = number};
}

/* take. The gate (H9): nothing is taken until the session has settled with this run. */
bool take(State *s, int c) {
    Client *x = &s->client[c];
    if (!runs(x) || x->doing != IDLE || x->request.kind || !x->caller || x->cut_off || !s->up)
        return false;
    if ((!x->takes && !x->wants) || x->lapsed || x->registered_as != x->name + 1) return false;
    if (!left_out[NO_GATE] && !has_settled(s, x)) return false;
    if (!x->wants) x->takes--;
    x->wants = 0;
    x->doing = TAKING;
    x->request = request(s, TAKE, x->place, 0);
    return true;
}

/* enter, for the first use of an object: its registration, if the record is still there. */
bool register_first(State *s, int c) {
    Client *x = &s->client[c];
    if (!reaches(s, x) || x->registered_as == x->name + 1 || x->lapsed || !has_settled(s, x))
        return false;
    changes(s);
    x->registered_as = x->name + 1;
    if (s->data.record[c][x->name])
        s->data.registered[c][x->name] = 1;
    else
        x->lapsed = 1;
    return true;
}

bool next_command(State *s, int c) {
    const Client *x = &s->client[c];
    return x->alive && x->caller && x->request.stage != OUTCOME_UNKNOWN && execute(s, c, false);
}

bool late_command(State *s, int c) {
    return execute(s, c, true);
}

/* BLMOVE gives up: the answer is nil. */
bool time_out(State *s, int c) {
    Client *x = &s->client[c];
    if (!s->up || !x->alive || x->request.stage != BLOCKED) return false;
    leave_queue(s, c * 2);
    x->request.stage = ANSWERED;
    return true;
}

static void hear_take(State *s, int c) {
    Client *x = &s->client[c];
    Request r = x->request;
    x->request = (Request){0};
    if (!r.moved) {
        x->doing = IDLE;
    } else if (r.granted && x->name_of[r.place] == x->name && !x->lapsed) {
        x->doing = HOLDING;
        x->token = r.token;
        if (!x->undone && !x->freed && !x->robbed) {
            if (!s->data.at[c][r.place]) s->wrong = FALSE_BELIEF;
            if (r.token <= s->highest_token && config.n == 1) s->wrong = TOKEN;
            s->highest_token = larger(s->highest_token, r.token);
        }
    } else {
        /* A no at either question: the element goes back, the session enters anew. */
        x->doing = GIVING;
        x->request = request(s, GIVE_BACK, r.place, 0);
        if (!x->lapsed && x->name_of[r.place] == x->name) x->lapsed = 1;
        x->wants = 1;
        x->freed = x->undone = x->robbed = 0;
    }
}

/* The reply arrives. H10: what was asked for in an earlier run counts as not heard. Who is not
 * fresh asks before it answers: a heartbeat comes first. */
bool hear(State *s, int c) {
    Client *x = &s->client[c];
    if (!runs(x) || x->request.stage != ANSWERED) return false;
    bool is_old = x->request.run != s->run && (x->background || x->run == s->run);
    if (is_old && !left_out[OLD_REPLY]) {
        x->request.stage = OUTCOME_UNKNOWN;
        x->caller = 0;
        return true;
    }
    if (x->request.kind == TAKE) {
        bool is_late = x->request.moved && !x->lapsed && x->age >= config.L;
        if (is_late && !left_out[HEARD_LATE]) return false;
        hear_take(s, c);
    } else {
        bool again = x->wants;
        end_hold(x);
        x->wants = again;
        x->request = (Request){0};
    }
    return true;
}

/* give back */
bool release(State *s, int c) {
    Client *x = &s->client[c];
    if (!runs(x) || x->doing != HOLDING || !x->caller || x->cut_off || x->request.kind || !s->up)
        return false;
    end_hold(x);
    x->doing = GIVING;
    x->request = request(s, GIVE_BACK, x->place, 0);
    return true;
}

/* release by another */
bool free_other(State *s, int c) {
    Client *x = &s->client[c];
    if (!runs(x) || x->doing != IDLE || !x->frees || x->request.kind) return false;
    if (!x->caller || x->cut_off || !s->up) return false;
    x->frees--;
    x->doing = FREEING;
    x->number++;
    x->request = request(s, FREE_OTHER, 0, x->number);
    return true;
}

/* recover, on a new connection. open: it fences the one before it, and renews (H3) or hears that
 * the session lapsed. Then what was under way goes back; without a fence its place is given up. */
bool recover(State *s, int c) {
    Client *x = &s->client[c];
    if (!runs(x) || x->caller || x->cut_off || !s->up) return false;
    if (x->request.stage == ANSWERED) return false; /* it hears first what came before the end */
    changes(s);
    x->caller = 1;
    x->gone = x->away = 0;
    if (!left_out[NOT_RENEWED]) {
        if (s->data.record[c][x->name])
            s->data.record[c][x->name] = ++x->counter;
        else
            end_hold_of_lapsed(x);
    }
    bool fenced = config.fence && !left_out[NO_FENCE];
    if (fenced) {
        leave_queue(s, c * 2 + 1);
        x->late = (Request){0};
        x->old_caller = 0;
    }
    Request r = x->request;
    if (r.kind == TAKE || r.kind == GIVE_BACK) {
        empty_place(s, c, r.place);
        x->request = (Request){0};
        bool again = x->wants || x->doing == TAKING;
        end_hold(x);
        x->wants = again;
        if (!fenced && !left_out[NO_FENCE] && x->place == r.place) return next_place(x);
    } else if (r.kind == FREE_OTHER)
        x->request = request(s, FREE_OTHER, 0, r.number);
    return true;
}

/* Section 6, without permission to fence: a place that was given up is emptied again. */
bool clear_former_place(State *s, int c) {
    const Client *x = &s->client[c];
    if (!reaches(s, x) || config.fence) return false;
    for (int p = 0; p < x->places; p++)
        if (p != x->place && s->data.at[c][p]) {
            changes(s);
            empty_place(s, c, p);
            return true;
        }
    return false;
}

static void hear_beat(Client *x, bool is_there) {
    x->age = x->beat_age;
    x->beaten = 1;
    if (!is_there) end_hold_of_lapsed(x);
}

static void renew(State *s, int c, int name, int counter) {
    Client *x = &s->client[c];
    s->data.record[c][name] = counter;
    s->ttl[c] = 0;
    if (name == x->name) x->silent = x->gone = x->away = 0;
}

/* beat: it is sent. Freshness counts from here, not from the answer. */
bool send_beat(State *s, int c) {
    Client *x = &s->client[c];
    if (!runs(x) || !x->background || x->beat || x->lapsed || x->cut_off) return false;
    if (x->beaten && x->age < config.L) return false;
    x->beat = 1;
    x->beat_age = 0;
    x->beat_counter = ++x->counter;
    return config.slow || beat_arrives(s, c);
}

/* beat: executed and answered. H2: it never makes a record. */
bool beat_arrives(State *s, int c) {
    Client *x = &s->client[c];
    if (!s->up || !x->beat || !x->alive || !x->background || x->deaf) return false;
    if (x->stopped) return false; /* it would hear the answer later: the same as a later heartbeat */
    changes(s);
    int before = s->data.record[c][x->name];
    bool creates = left_out[BEAT_CREATES];
    if (before || creates) renew(s, c, x->name, x->beat_counter);
    if (creates && before != x->beat_counter - 1) {
        hear_beat(x, false);
        x->lapsed = !s->data.record[c][x->name];
    } else
        hear_beat(x, before);
    x->beat = 0;
    return true;
}

bool late_beat_arrives(State *s, int c) {
    Client *x = &s->client[c];
    if (!s->up || !x->late_beat) return false;
    changes(s);
    if (s->data.record[c][x->late_name] || left_out[BEAT_CREATES]) {
        s->data.record[c][x->late_name] = x->late_counter;
        s->ttl[c] = 0;
    }
    x->late_beat = 0;
    return true;
}

/* open, in the background: it fences the connection before it. A heartbeat follows. */
bool background_returns(State *s, int c) {
    Client *x = &s->client[c];
    if (!runs(x) || x->background || x->cut_off || x->deaf || !s->up) return false;
    x->background = 1;
    x->beaten = 0;
    if (config.fence && !left_out[NO_FENCE]) x->old_background = x->late_beat = x->late_settles = 0;
    return true;
}

/* enter, after a lapse. H1: under a name that was never used. */
bool enter(State *s, int c) {
    Client *x = &s->client[c];
    if (!reaches(s, x) || !x->lapsed) return false;
    if (!left_out[SAME_NAME]) {
        if (x->name + 1 >= NAMES) return false;
        x->name++;
        if (!next_place(x)) return false;
    }
    changes(s);
    x->counter++;
    remove_former_names(s, c);
    renew(s, c, x->name, x->counter);
    s->data.registered[c][x->name] = 1;
    x->registered_as = x->name + 1;
    x->lapsed = x->age = x->beat = 0;
    x->beaten = 1;
    lift_token(s);
    read_siblings(s, c);
    if (x->request.kind == NO_REQUEST && x->doing != HOLDING) x->run = s->run;
    return true;
}

/* settle: the list is made with the gate closed. keep: where it believes to hold. busy: where a
 * request is under way. */
bool send_settling(State *s, int c) {
    Client *x = &s->client[c];
    if (!reaches(s, x) || x->settles || x->lapsed || has_settled(s, x) || !x->beaten) return false;
    bool is_busy = x->request.kind == TAKE || x->request.kind == GIVE_BACK;
    x->settles = 1;
    x->settling++;
    x->keep = x->doing == HOLDING ? x->place + 1 : 0;
    x->busy = is_busy ? x->request.place + 1 : 0;
    return true;
}

/* settle, its script: what is neither kept nor busy is free; the registration is set (H11); the
 * token is lifted. Of what is kept it tells what is not there: LeaseLost. */
bool settling_arrives(State *s, int c) {
    Client *x = &s->client[c];
    if (!runs(x) || !x->settles || !x->background || !s->up) return false;
    changes(s);
    x->settles = 0;
    s->data.settling[c] = x->settling;
    remove_former_names(s, c);
    if (!s->data.record[c][x->name]) {
        end_hold_of_lapsed(x);
        return true;
    }
    for (int p = 0; p < x->places; p++)
        if (p + 1 != x->keep && (p + 1 != x->busy || left_out[SETTLES_BUSY])) empty_place(s, c, p);
    if (!left_out[SETTLES_UNREGISTERED]) s->data.registered[c][x->name] = 1;
    lift_token(s);
    bool is_kept = x->keep && x->doing == HOLDING && x->place + 1 == x->keep;
    if (is_kept && !s->data.at[c][x->place]) end_hold(x);
    if (x->doing == HOLDING) x->undone = 0;
    x->run = s->run;
    read_siblings(s, c);
    return true;
}

/* Section 6: settlings are numbered where they may arrive late. */
bool late_settling_arrives(State *s, int c) {
    Client *x = &s->client[c];
    if (!s->up || !x->late_settles) return false;
    changes(s);
    x->late_settles = 0;
    bool is_newer = s->data.settling[c] < x->late_settling || left_out[NOT_NUMBERED];
    if (s->data.record[c][x->name] && is_newer) {
        s->data.settling[c] = x->late_settling;
        for (int p = 0; p < x->places; p++)
            if (p + 1 != x->late_keep && p + 1 != x->late_busy) empty_place(s, c, p);
    }
    return true;
}
