/* What the server executes: one script a function, named as in docs/lifetimes.md. Each touches what
 * lies in one partition. */
#include <string.h>

#include "state.h"

/* White in a partition that is settled: whoever comes now is told that it is gone, for it is about
 * to be swept. */
bool is_lost(const Server *s, int x) {
    if (left_out[NO_REFUSAL] || !s->settled[x] || !is_kept(s, x)) return false;
    return s->score[x] < 2 * s->epoch[x];
}

static void raise_to(Server *s, int x, int score) {
    if (s->score[x] < score) s->score[x] = score;
}

static void hold_for(Server *s, int x, int holder) {
    if (s->until[x][holder] < config.lease) s->until[x][holder] = config.lease;
    s->lapsed[x] = 0;
}

static bool is_refused(State *s, int c, int x) {
    if (!is_lost(&s->server, x)) return false;
    if (s->client[c].alive == LIVE && !s->client[c].woken) s->wrong = REFUSED;
    return true;
}

/* object/keep: it loses its lease, and is marked. Its contents are told while some of them may have
 * a lease. */
Answer keep(State *state, int c, int x, int want, u8 *epoch, u8 *inside) {
    Server *s = &state->server;
    *inside = 0;
    if (s->state[x] == ABSENT) return GONE;
    if (is_refused(state, c, x)) return LOST;
    int e = s->epoch[x] > want || left_out[NO_WANT] ? s->epoch[x] : want;
    bool is_empty = !s->inside[x];
    if (s->state[x] == LEASED) {
        s->state[x] = is_empty || left_out[NO_PARTIAL] ? WHOLE : PARTIAL;
        raise_to(s, x, is_empty ? 2 * e + 1 : 2 * e);
    }
    raise_to(s, x, is_empty ? 2 * e + 1 : 2 * e);
    if (!left_out[NO_HELD_BY_KEEP]) hold_for(s, x, NOBODY);
    if (s->state[x] == PARTIAL) *inside = s->inside[x];
    *epoch = (u8)e;
    return TAKEN;
}

/* object/whole: all that it contains is kept. */
void whole(State *state, int x, int stamp) {
    Server *s = &state->server;
    if (s->state[x] != PARTIAL) return;
    s->state[x] = WHOLE;
    if (left_out[NO_BLACK_BY_WHOLE]) return;
    if (stamp >= s->epoch[x] && s->score[x] == 2 * s->epoch[x]) s->score[x]++;
}

/* Any script that stores. Without a lease it takes what was marked in its own epoch, or later. */
Answer put(State *state, int container, int x, int stamp) {
    Server *s = &state->server;
    if (s->state[container] == ABSENT) return GONE;
    if (s->state[container] != LEASED) {
        if (!stamp) return RETAIN;
        if (stamp < s->epoch[container] && !left_out[NO_STAMP]) return RETAIN;
    }
    s->inside[container] |= bit(x);
    return TAKEN;
}

/* What a container without a lease lets go of counts as contained for another lease. */
static void note_cut(Server *s, int container, u8 removed) {
    if (s->state[container] == LEASED || left_out[NO_CUT]) return;
    for (int x = config.names; x < object_count(); x++)
        if (has(removed, x)) s->cut[container][x] = config.lease;
}

/* Any script that removes. */
void take_out(State *state, int container, int x) {
    Server *s = &state->server;
    note_cut(s, container, s->inside[container] & bit(x));
    s->inside[container] &= ~bit(x);
}

void delete(State *state, int container) {
    Server *s = &state->server;
    note_cut(s, container, s->inside[container]);
    s->inside[container] = 0;
    s->state[container] = ABSENT;
}

/* object/renew, for a session or for a walk. The contents of what is leased or partial are told. */
bool renew(State *state, int c, int holder, int x, u8 *inside) {
    Server *s = &state->server;
    *inside = 0;
    if (s->state[x] == ABSENT || is_refused(state, c, x)) return false;
    hold_for(s, x, holder);
    if (is_kept(s, x) && !left_out[NO_SHADE]) raise_to(s, x, 2 * s->epoch[x]);
    if (s->state[x] == LEASED || (s->state[x] == PARTIAL && !left_out[NO_WALK]))
        *inside = s->inside[x];
    return true;
}

static void age_lapsed(u8 *entry) {
    if (*entry >= LAPSED) ++*entry;
}

/* Within a tick, too, what lapses now lapses later than a look began that is under way. */
static void lapse_now(State *state, int x) {
    Server *s = &state->server;
    for (int i = 0; i < object_count(); i++) {
        age_lapsed(&s->lapsed[i]);
        for (int o = config.names; o < object_count(); o++) age_lapsed(&s->cut[i][o]);
    }
    for (int k = 0; k < config.collectors; k++)
        if (state->look[k].stage != REST) state->look[k].age++;
    s->lapsed[x] = LAPSED;
}

/* object/let_go: the session's entry is struck. Nobody else's there: gone at once, or, if it is
 * kept, a reason for a look. */
void let_go(State *state, int c, int x) {
    Server *s = &state->server;
    if (!s->until[x][c]) return;
    s->until[x][c] = 0;
    if (longest(s, x)) return;
    if (s->state[x] == LEASED)
        vanish(state, bit(x), false);
    else if (is_kept(s, x))
        lapse_now(state, x);
}

/* collect/begin; and once more with the same epoch, to undo a settling. */
bool begin(State *state, int i, int epoch, bool again) {
    Server *s = &state->server;
    if (s->epoch[i] > epoch || (s->epoch[i] == epoch && !again && !left_out[EPOCH_SHARED])) return false;
    s->epoch[i] = (u8)epoch;
    s->settled[i] = s->swept[i] = 0;
    return true;
}

/* collect/roots: what is held is marked. */
void roots(State *state, int i, int epoch) {
    Server *s = &state->server;
    if (is_kept(s, i) && longest(s, i) && !left_out[NO_ROOTS]) raise_to(s, i, 2 * epoch);
}

/* collect/settle: false if something is grey. */
bool settle(State *state, int i, int epoch) {
    Server *s = &state->server;
    if (is_kept(s, i) && s->score[i] == 2 * epoch && !left_out[NO_UNDO]) return false;
    s->settled[i] = 1;
    return true;
}

/* Of entries that ended, those that ended before the look began have had their look. Nothing is known
 * of that where the clock shows less than it did at the beginning. */
static bool is_trimmed(const Look *look, u8 entry) {
    if (look->age < 0 && !left_out[TRIM_BY_BEGIN]) return false;
    if (entry >= LAPSED) return entry - LAPSED >= look->age || left_out[TRIM_ALL];
    return entry && left_out[TRIM_BY_BEGIN] && entry < -look->age;
}

/* collect/sweep: what is white is removed; then the entries that spoke for what is gone are. */
void sweep(State *state, int i, const Look *look) {
    Server *s = &state->server;
    if (is_kept(s, i) && s->score[i] < 2 * look->epoch) vanish(state, bit(i), false);
    if (is_trimmed(look, s->lapsed[i])) s->lapsed[i] = 0;
    if (left_out[TRIM_BY_BEGIN] && longest(s, i) && longest(s, i) < -look->age && is_kept(s, i))
        memset(s->until[i], 0, sizeof s->until[i]);
    for (int x = config.names; x < object_count(); x++)
        if (is_trimmed(look, s->cut[i][x])) s->cut[i][x] = 0;
    s->swept[i] = 1;
}

/* Objects are gone, with all that is known of them. It is wrong if anything leads to them. */
void vanish(State *state, u8 objects, bool is_excused) {
    Server *s = &state->server;
    if (!is_excused && (all_roots(state) & objects)) state->wrong = VANISHED;
    for (int x = config.names; x < object_count(); x++) {
        if (!has(objects, x)) continue;
        s->state[x] = ABSENT;
        s->inside[x] = s->score[x] = s->lapsed[x] = 0;
        memset(s->until[x], 0, sizeof s->until[x]);
    }
}
