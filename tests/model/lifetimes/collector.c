/* A look of the collector, as docs/lifetimes.md has it: begin, roots, tops, rounds of step, cut and
 * one more round, settle, sweep. Each partition is one step. */
#include "state.h"

/* Nothing lies there, and nothing ever will: there may as well be no such partition. */
bool is_void(const Server *s, int i) {
    if (is_name(i) || s->state[i] != ABSENT) return false;
    for (int x = config.names; x < object_count(); x++)
        if (s->cut[i][x]) return false;
    return true;
}

/* Above all that any partition knows. */
static int next_epoch(const Server *s) {
    int highest = 0;
    for (int i = 0; i < object_count(); i++) {
        if (s->epoch[i] > highest) highest = s->epoch[i];
        if (s->score[i] / 2 > highest && !left_out[EPOCH_NOT_ABOVE]) highest = s->score[i] / 2;
    }
    return highest + 1;
}

/* An entry lapsed, or a look did not come to its end. */
bool is_reason(const Server *s) {
    for (int i = 0; i < object_count(); i++) {
        if (is_void(s, i)) continue;
        if (s->epoch[i] && !s->swept[i] && !left_out[NO_UNFINISHED]) return true;
        if (s->lapsed[i]) return true;
        for (int x = config.names; x < object_count(); x++)
            if (s->cut[i][x] >= LAPSED && !left_out[CUT_NO_REASON]) return true;
    }
    return false;
}

bool may_look(const State *s, int k) {
    if (k >= config.collectors) return false;
    if (s->look[k].stage != REST) return true;
    return s->looks && (!s->young || left_out[NO_WAIT]);
}

static void go_to(Look *look, int stage, int at) {
    look->stage = (u8)stage;
    look->at = (u8)at;
}

/* Rounds until one finds nothing grey; then what was removed is asked for. Had that led to anything,
 * the round behind it would have found it. */
static void end_round(Look *look) {
    bool is_clean = !look->again && !look->marks && !look->told;
    bool confirms = look->confirms || left_out[NO_CUT_READ] || left_out[CUT_FIRST];
    look->again = look->confirms = 0;
    if (!is_clean)
        go_to(look, STEP, 0);
    else if (!confirms)
        go_to(look, CUT, 0);
    else
        go_to(look, left_out[NO_SETTLING] ? SWEEP : SETTLE, 0);
}

static void end_cut(Look *look) {
    look->confirms = !left_out[CUT_FIRST];
    go_to(look, left_out[NO_LAST_ROUND] && !look->marks ? SETTLE : STEP, 0);
}

static void end_phase(Look *look) {
    switch (look->stage) {
        case BEGIN: go_to(look, ROOTS, config.names); break;
        case ROOTS: go_to(look, TOPS, 0); break;
        case TOPS: go_to(look, left_out[CUT_FIRST] ? CUT : STEP, 0); break;
        case STEP: end_round(look); break;
        case CUT: end_cut(look); break;
        case SETTLE:
            look->confirms = 0;
            go_to(look, SWEEP, 0);
            break;
        case UNDO: go_to(look, STEP, 0); break;
        case SWEEP: *look = (Look){0}; break;
    }
}

/* Goes to the next partition that is there, perhaps one of the next phase. */
void end_phases(State *s, Look *look) {
    while (look->stage != REST) {
        int end = look->stage == TOPS ? config.names : object_count();
        while (look->at < end && is_void(&s->server, look->at)) {
            look->marks &= ~bit(look->at);
            look->told &= ~bit(look->at);
            look->piece = 0;
            look->at++;
        }
        if (look->at < end) return;
        end_phase(look);
    }
}

/* What is marked already, or will be when it is kept, needs no mark: a look that sent it again in
 * each round would not end while an entry of r:cut speaks for it. */
static void add_marks(const Server *s, Look *look, u8 objects) {
    for (int x = config.names; x < object_count(); x++)
        if (has(objects, x) && is_kept(s, x) && s->score[x] < 2 * look->epoch) look->marks |= bit(x);
}

/* Contents are told, at once or piece by piece. True: that was the last. */
static bool tell(const Server *s, Look *look, int i) {
    if (!config.pieces || !s->inside[i]) {
        add_marks(s, look, s->inside[i]);
        look->piece = 0;
        return true;
    }
    add_marks(s, look, s->inside[i] & bit(config.names + look->piece++));
    if (look->piece < config.unnamed) return false;
    look->piece = 0;
    return true;
}

/* collect/cut */
static void read_cut(const Server *s, Look *look, int i) {
    for (int x = config.names; x < object_count(); x++) {
        u8 entry = s->cut[i][x];
        if (entry && entry < LAPSED) add_marks(s, look, bit(x));
    }
}

/* collect/step. True: done with this partition. */
static bool step(State *state, Look *look, int i) {
    Server *s = &state->server;
    int grey = 2 * look->epoch;
    bool goes_on = look->piece;
    if (!goes_on) {
        if (has(look->told, i) && s->score[i] == grey) s->score[i]++;
        if (has(look->marks, i) && is_kept(s, i) && s->score[i] < grey) s->score[i] = (u8)grey;
        look->told &= ~bit(i);
        look->marks &= ~bit(i);
        if (!is_kept(s, i) || s->score[i] != grey) return true;
        look->again = 1;
    }
    bool is_last = tell(s, look, i);
    if (left_out[BLACK_WHEN_TOLD] && s->score[i] == grey) s->score[i]++;
    if (is_last && s->score[i] == grey) look->told |= bit(i);
    return is_last;
}

static bool is_stopped(State *s, Look *look, int i) {
    if (left_out[LAZY_BEGIN] && look->stage < SETTLE) begin(s, i, look->epoch, false);
    if (s->server.epoch[i] == look->epoch) return false;
    return look->stage != SWEEP || !left_out[NO_FENCE];
}

static bool visit(State *s, Look *look, int i) {
    switch (look->stage) {
        case ROOTS: roots(s, i, look->epoch); return true;
        case TOPS: return s->server.state[i] == ABSENT || tell(&s->server, look, i);
        case STEP: return step(s, look, i);
        case CUT: read_cut(&s->server, look, i); return true;
        case SETTLE:
            if (settle(s, i, look->epoch)) return true;
            look->confirms = 0;
            go_to(look, UNDO, 0);
            return false;
        case UNDO: begin(s, i, look->epoch, true); return true;
        case SWEEP:
            /* Another struck the settling, and has not begun here. */
            if (!s->server.settled[i] && !left_out[NO_SETTLING] && !left_out[NO_FENCE]) {
                *look = (Look){0};
                return false;
            }
            sweep(s, i, look);
            return true;
    }
    return true;
}

static void begin_look(State *s, Look *look) {
    s->looks--;
    *look = (Look){.stage = BEGIN, .epoch = (u8)next_epoch(&s->server)};
}

/* One script. Another has begun a look there: this one ends. */
void look_on(State *s, int k, bool reply_lost) {
    Look *look = &s->look[k];
    const Look before = *look;
    int i = look->at;
    bool is_done = true;
    if (look->stage == REST) {
        begin_look(s, look);
        return;
    }
    if (look->stage == BEGIN) {
        if (!begin(s, i, look->epoch, false)) {
            *look = (Look){0};
            return;
        }
        if (left_out[LAZY_BEGIN]) look->at = (u8)object_count();
    } else if (!is_stopped(s, look, i)) {
        is_done = visit(s, look, i);
    } else if (look->stage == SWEEP && left_out[SKIPS_OVERTAKEN]) {
        is_done = true;
    } else {
        *look = (Look){0};
        return;
    }
    if (reply_lost) {
        *look = before;
    } else if (is_done) {
        look->at++;
        look->piece = 0;
    }
}
