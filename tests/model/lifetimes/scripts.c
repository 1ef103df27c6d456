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

static void hold(Server *s, int x) {
    if (s->until[x] < config.lease) s->until[x] = (u8)config.lease;
    s->lapsed[x] = 0;
}

static bool is_refused(State *s, int c, int x) {
    if (!is_lost(&s->server, x)) return false;
    if (s->client[c].alive == LIVE && !s->client[c].woken) s->wrong = REFUSED;
    return true;
}

/* object/keep: it loses its lease, and is marked. Its contents are told while some of them may have
 * a lease. In an epoch that has not begun here it may still take in what is marked in this one: it
 * is grey then, though it is empty. */
Answer keep(State *state, int c, int x, int want, u8 *epoch, u8 *inside) {
    Server *s = &state->server;
    *inside = 0;
    if (s->state[x] == ABSENT) return GONE;
    if (is_refused(state, c, x)) return LOST;
    int e = s->epoch[x] > want || left_out[NO_WANT] ? s->epoch[x] : want;
    bool is_empty = !s->inside[x], has_begun = e == s->epoch[x] || left_out[BLACK_AHEAD];
    if (s->state[x] == LEASED) s->state[x] = is_empty || left_out[NO_PARTIAL] ? WHOLE : PARTIAL;
    raise_to(s, x, is_empty && has_begun ? 2 * e + 1 : 2 * e);
    if (!left_out[NO_HELD_BY_KEEP]) hold(s, x);
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

/* object/renew. The contents of what is leased or partial are told. */
bool renew(State *state, int c, int x, u8 *inside) {
    Server *s = &state->server;
    *inside = 0;
    if (s->state[x] == ABSENT || is_refused(state, c, x)) return false;
    hold(s, x);
    if (is_kept(s, x) && !left_out[NO_SHADE]) raise_to(s, x, 2 * s->epoch[x]);
    if (s->state[x] == LEASED || (s->state[x] == PARTIAL && !left_out[NO_WALK]))
        *inside = s->inside[x];
    return true;
}

/* object/let_go: a client tells how often it gave the object, and returns what it received. Nothing
 * is outstanding if all who ever had it have let go: one who has not, and was given it by one who
 * has, is missing there. */
void let_go(State *state, int c, int x) {
    Server *s = &state->server;
    const Client *who = &state->client[c];
    if (s->state[x] != LEASED) return;
    bool is_outstanding = false;
    int sum = 0;
    if (!left_out[GIFTS_NOT_NOTED]) s->given[x][c] += (i8)who->gifts[x];
    for (int g = 0; g < config.clients; g++) {
        s->given[x][g] -= (i8)who->owed[x][g];
        is_outstanding |= s->given[x][g] != 0;
        sum += s->given[x][g];
    }
    if (left_out[GIFTS_OF_ALL]) is_outstanding = sum != 0;
    if (!is_outstanding) vanish(state, bit(x), false);
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
    if (is_kept(s, i) && s->until[i] && !left_out[NO_ROOTS]) raise_to(s, i, 2 * epoch);
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
    if (left_out[TRIM_BY_BEGIN] && s->until[i] < -look->age && is_kept(s, i)) s->until[i] = 0;
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
        s->inside[x] = s->score[x] = s->until[x] = s->lapsed[x] = 0;
        memset(s->given[x], 0, sizeof s->given[x]);
    }
}
