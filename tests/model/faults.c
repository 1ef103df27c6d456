/* What goes wrong, and how it ends. Each fault is taken from the number of those that may come. */
#include <string.h>

#include "state.h"

/* The outcome of what is under way is not known: the client has to recover. */
static void forget_reply(Request *r) {
    *r = (Request){
        .kind = r->kind, .stage = OUTCOME_UNKNOWN, .place = r->place, .number = r->number};
}

/* The caller's connection ends; with is_late its request is still to be executed, and the server
 * lists the connection until it notices. */
static void cut_caller(State *s, int c, bool is_late) {
    Client *x = &s->client[c];
    x->caller = 0;
    if (is_late) x->old_caller = 1;
    if (!x->request.kind) return;
    if (is_late && x->request.stage != ANSWERED) {
        x->late = x->request;
        for (int i = 0; i < s->waiting; i++)
            if (s->queue[i] == c * 2) s->queue[i] = c * 2 + 1;
    } else
        leave_queue(s, c * 2);
    forget_reply(&x->request);
}

static void cut_background(State *s, int c, bool is_late) {
    Client *x = &s->client[c];
    is_late = is_late && x->background;
    x->background = 0;
    if (is_late) {
        x->old_background = 1;
        if (x->beat) {
            x->late_beat = 1;
            x->late_counter = x->beat_counter;
            x->late_name = x->name;
        }
        if (x->settles) {
            x->late_settles = 1;
            x->late_keep = x->keep;
            x->late_busy = x->busy;
            x->late_settling = x->settling;
        }
    }
    x->beat = 0;
    x->settles = 0;
}

/* A process ends: what it had in its memory is gone; what is under way may still arrive. */
static void die(State *s, int c) {
    const Client was = s->client[c];
    s->client[c] = (Client){
        .old_background = was.old_background,
        .old_caller = was.old_caller,
        .place = was.place,
        .name = was.name,
        .places = was.places,
        .late = was.late,
        .counter = was.counter,
        .beat_counter = was.beat_counter,
        .beat_age = was.beat_age,
        .late_beat = was.late_beat,
        .late_counter = was.late_counter,
        .late_name = was.late_name,
        .run = was.run,
        .number = was.number,
        .keep = was.keep,
        .busy = was.busy,
        .settling = was.settling,
    };
    memcpy(s->client[c].name_of, was.name_of, sizeof was.name_of);
    memset(s->watch[c], 0, sizeof s->watch[c]);
    s->watches[c] = s->looked[c] = s->verdict[c] = s->verdict_name[c] = s->verdict_counter[c] = 0;
}

bool old_connections_noticed(State *s, int c) {
    Client *x = &s->client[c];
    if (!s->up || (!x->old_caller && !x->old_background)) return false;
    leave_queue(s, c * 2 + 1);
    x->late = (Request){0};
    x->late_beat = x->late_settles = x->old_caller = x->old_background = 0;
    return true;
}

bool background_notices(State *s, int c) {
    Client *x = &s->client[c];
    if (!x->alive || x->stopped || !x->deaf) return false;
    x->deaf = 0;
    cut_background(s, c, false);
    return true;
}

bool healed(State *s, int c) {
    Client *x = &s->client[c];
    if (!x->cut_off) return false;
    x->cut_off = 0;
    return true;
}

bool resumed(State *s, int c) {
    Client *x = &s->client[c];
    if (!x->stopped) return false;
    x->stopped = 0;
    return true;
}

bool restarted(State *s, int c) {
    if (c || s->up) return false;
    s->up = 1;
    if (s->paused)
        s->paused = 0;
    else
        s->run++;
    return true;
}

bool paused(State *s, int c) {
    if (c || !config.pause || !s->faults || !s->up) return false;
    s->faults--;
    s->up = 0;
    s->down = s->paused = 1;
    return true;
}

/* What a crash goes back to, if one comes soon. */
bool saved(State *s, int c) {
    if (c || !s->up || s->has_saved || !s->crashes || !config.lose) return false;
    s->has_saved = 1;
    s->unsaved = 0;
    s->saved = s->data;
    return true;
}

static bool cut_caller_now(State *s, int c, bool is_late) {
    Client *x = &s->client[c];
    if (!config.cut || !s->faults || !x->alive || !x->caller) return false;
    if (x->request.kind == NO_REQUEST || x->old_caller) return false;
    if (is_late && (x->request.stage == ANSWERED || x->late.kind || !config.half)) return false;
    s->faults--;
    cut_caller(s, c, is_late);
    return true;
}

bool cut_on_its_way(State *s, int c) {
    return cut_caller_now(s, c, true);
}

bool cut_and_lost(State *s, int c) {
    return cut_caller_now(s, c, false);
}

static bool cut_background_now(State *s, int c, bool is_late) {
    Client *x = &s->client[c];
    if (!config.background || !s->faults || !x->alive || !x->background) return false;
    if (x->deaf || x->old_background) return false;
    if (is_late && ((!x->beat && !x->settles) || !config.half)) return false;
    s->faults--;
    cut_background(s, c, is_late);
    return true;
}

bool background_cut_on_its_way(State *s, int c) {
    return cut_background_now(s, c, true);
}

bool background_cut(State *s, int c) {
    return cut_background_now(s, c, false);
}

bool background_half_open(State *s, int c) {
    Client *x = &s->client[c];
    if (!config.deaf || !s->faults || !x->alive || x->stopped || !x->background || x->deaf)
        return false;
    s->faults--;
    x->deaf = 1;
    x->beat = 0;
    return true;
}

static bool cut_off_now(State *s, int c, bool is_unnoticed) {
    Client *x = &s->client[c];
    if (!config.part || !s->faults || !x->alive || x->cut_off || x->deaf) return false;
    if (x->old_caller || x->old_background || x->late.kind) return false;
    if (is_unnoticed && (!config.half || (!x->background && !x->caller))) return false;
    s->faults--;
    if (x->caller) cut_caller(s, c, is_unnoticed);
    cut_background(s, c, is_unnoticed);
    x->cut_off = 1;
    return true;
}

bool cut_off_unnoticed(State *s, int c) {
    return cut_off_now(s, c, true);
}

bool cut_off(State *s, int c) {
    return cut_off_now(s, c, false);
}

bool suspended(State *s, int c) {
    Client *x = &s->client[c];
    if (!config.stop || !s->faults || !x->alive || x->stopped) return false;
    s->faults--;
    x->stopped = 1;
    return true;
}

static bool kill_now(State *s, int c, bool is_late) {
    Client *x = &s->client[c];
    if (!config.kill || !s->faults || !x->alive) return false;
    bool has_request = x->request.kind && x->request.stage < ANSWERED;
    if (is_late && (x->late.kind || x->old_caller || !has_request)) return false;
    s->faults--;
    if (x->caller) cut_caller(s, c, is_late);
    if (x->background) cut_background(s, c, false);
    die(s, c);
    return true;
}

bool killed_on_its_way(State *s, int c) {
    return kill_now(s, c, true);
}

bool killed(State *s, int c) {
    return kill_now(s, c, false);
}

/* Deleted by hand, evicted, or the data of another server under the same run. */
bool record_lost(State *s, int c) {
    Client *x = &s->client[c];
    if (!config.wipe || !s->faults || !s->up || !s->data.record[c][x->name]) return false;
    s->faults--;
    int assumed = config.assume;
    config.assume = 0; /* this is no evidence: the session is robbed */
    remove_record(s, c, x->name);
    config.assume = assumed;
    return true;
}

/* The server ends; what it had not saved is undone. All connections end with it. */
bool crashed(State *s, int c) {
    if (c || !s->up || !s->crashes || (config.lose && !s->has_saved)) return false;
    s->crashes--;
    if (s->has_saved) s->data = s->saved;
    s->has_saved = s->unsaved = 0;
    memset(&s->saved, 0, sizeof s->saved);
    s->up = 0;
    s->down = 1;
    s->waiting = 0;
    memset(s->queue, 0, sizeof s->queue);
    for (int i = 0; i < config.clients; i++) {
        Client *x = &s->client[i];
        x->late = (Request){0};
        x->late_beat = x->late_settles = x->old_background = x->old_caller = 0;
        x->background = x->caller = x->deaf = x->beat = x->settles = 0;
        Request *r = &x->request;
        if (r->kind && r->stage != ANSWERED) forget_reply(r);
        bool was_told = r->kind == TAKE && r->stage == ANSWERED;
        int place = x->doing == HOLDING ? x->place : was_told ? r->place : -1;
        if (place >= 0 && !s->data.at[i][place]) x->undone = 1;
    }
    return true;
}
