/* Time, what it does to processes that do not renew, and what happens to the server. */
#include <string.h>

#include "state.h"

/* -- time */

static void age(u8 *entry) {
    if (!*entry || *entry == 255) return;
    if (*entry >= LAPSED)
        ++*entry;
    else if (!--*entry)
        *entry = LAPSED;
}

static void age_held(Server *s, int x, u8 *ended) {
    if (s->lapsed[x]) age(&s->lapsed[x]);
    if (!s->until[x] || --s->until[x]) return;
    if (s->state[x] == LEASED)
        *ended |= bit(x);
    else
        s->lapsed[x] = LAPSED;
}

/* What is excused vanishes while the server is away. */
void pass_time(State *s, bool is_excused) {
    u8 ended = 0;
    for (int x = config.names; x < object_count(); x++) {
        age_held(&s->server, x, &ended);
        if (s->mail[x] && !--s->mail[x]) s->from[x] = 0;
        for (int i = 0; i < object_count(); i++) age(&s->server.cut[i][x]);
    }
    if (ended) vanish(s, ended, is_excused);
    for (int k = 0; k < config.collectors; k++)
        if (s->look[k].stage != REST) s->look[k].age++;
    if (s->young) s->young--;
}

static int fate(int fates, int c) {
    while (c--) fates /= FATES;
    return fates % FATES;
}

/* A process that has not renewed is killed here, or is paused. To be killed earlier, or to be killed
 * after it has renewed, is to do nothing more until then: both are the same to all others. */
bool may_tick(const State *s, int fates) {
    if (!s->ticks) return false;
    int naps = 0;
    for (int c = 0; c < config.clients; c++) {
        const Client *x = &s->client[c];
        bool is_late = x->alive == LIVE && !has_renewed(x);
        if (is_late != (fate(fates, c) != GOES_ON)) return false;
        if (fate(fates, c) == DIES && !config.kills) return false;
        naps += fate(fates, c) == SLEEPS;
    }
    return naps <= s->naps;
}

/* What was renewed for a message that is not sent yet was renewed too long ago. */
static void renew_again(Op *op) {
    if (is_sent(op) && !left_out[NO_RENEWAL_ON_SEND])
        *op = (Op){.kind = op->kind, .object = op->object, .visit = bit(op->object)};
}

void tick(State *s, int fates) {
    s->ticks--;
    s->has_saved = s->unsaved = 0;
    for (int c = 0; c < config.clients; c++) {
        Client *x = &s->client[c];
        if (fate(fates, c) == DIES) die(s, c);
        if (fate(fates, c) == SLEEPS) {
            x->alive = ASLEEP;
            s->naps--;
        }
        x->due = x->holds;
        x->below = x->seen = 0;
        renew_again(&x->op);
    }
    pass_time(s, false);
}

/* -- the server */

/* The clock goes back by a lease and a tick: all that ends does so later. */
static void younger(u8 *entry, int ticks) {
    int left = *entry >= LAPSED ? ticks - (*entry - LAPSED) : *entry + ticks;
    if (!*entry) return;
    if (left >= LAPSED) left = LAPSED - 1;
    *entry = (u8)(left > 0 ? left : LAPSED - left);
}

static void clock_back(State *s) {
    Server *x = &s->server;
    int ticks = config.lease + 1;
    s->backs--;
    for (int i = 0; i < object_count(); i++) {
        if (x->lapsed[i]) {
            younger(&x->lapsed[i], ticks);
            if (x->lapsed[i] < LAPSED) {
                x->until[i] = x->lapsed[i];
                x->lapsed[i] = 0;
            }
        } else {
            younger(&x->until[i], ticks);
        }
        for (int o = config.names; o < object_count(); o++) younger(&x->cut[i][o], ticks);
    }
    for (int k = 0; k < config.collectors; k++) {
        Look *look = &s->look[k];
        if (look->stage != REST) look->age -= (i8)ticks;
    }
}

/* Connections end: so do looks. Who was storing keeps once more, who holds renews. */
static void connections_end(State *s) {
    for (int k = 0; k < config.collectors; k++)
        if (!left_out[SURVIVES_BREAK]) s->look[k] = (Look){0};
    s->young = config.lease;
    for (int c = 0; c < config.clients; c++) {
        Client *x = &s->client[c];
        if (!left_out[NOT_RENEWED_AGAIN]) {
            x->due = x->holds;
            x->below = x->seen = 0; /* the walk begins anew, too */
        }
        renew_again(&x->op);
        if (x->op.kind != STORE || left_out[NOT_KEPT_AGAIN]) continue;
        int request = x->op.stamp || x->op.request != TRY ? KEEP : TRY;
        x->op = (Op){.kind = STORE, .container = x->op.container, .object = x->op.object,
                     .request = (u8)request, .visit = bit(x->op.object), .want = x->op.want};
    }
}

/* The server is away for a lease. */
static void outage(State *s) {
    s->outages--;
    s->has_saved = s->unsaved = 0;
    for (int k = 0; k < config.lease; k++) pass_time(s, true);
    connections_end(s);
}

static void save(State *s) {
    s->saved = s->server;
    s->has_saved = 1;
    s->unsaved = 0;
}

/* The server starts again, and has forgotten its last writes. */
static void crash(State *s) {
    s->crashes--;
    s->server = s->saved;
    s->has_saved = s->unsaved = 0;
    connections_end(s);
}

/* A partition forgets its epoch: it is lower than any from then on. */
static void forget(State *s, int i) {
    s->forgets--;
    for (int x = 0; x < object_count(); x++) {
        if (s->server.epoch[x]) s->server.epoch[x]++;
        if (s->server.score[x]) s->server.score[x] += 2;
    }
    for (int c = 0; c < config.clients; c++) {
        if (s->client[c].op.stamp) s->client[c].op.stamp++;
        if (s->client[c].op.want) s->client[c].op.want++;
    }
    for (int k = 0; k < config.collectors; k++)
        if (s->look[k].stage != REST) s->look[k].epoch++;
    s->server.epoch[i] = 1;
    s->server.settled[i] = 0;
    s->server.swept[i] = 1;
}

static bool has_nothing(const Server *s, int i) {
    for (int x = config.names; x < object_count(); x++)
        if (s->cut[i][x]) return false;
    return !s->inside[i] && !is_kept(s, i);
}

bool may_fault(const State *s, int what, int i) {
    switch (what) {
        case CLOCK_BACK: return s->backs && !i;
        case OUTAGE: return s->outages && !i;
        case SAVE: return s->crashes && !i && !s->has_saved;
        case CRASH: return s->has_saved && s->unsaved && !i;
        case FORGET:
            return s->forgets && i < object_count() && s->server.epoch[i] > 1 &&
                   (left_out[EPOCH_FORGOTTEN] || has_nothing(&s->server, i));
    }
    return false;
}

void fault(State *s, int what, int i) {
    switch (what) {
        case CLOCK_BACK: clock_back(s); break;
        case OUTAGE: outage(s); break;
        case SAVE: save(s); break;
        case CRASH: crash(s); break;
        case FORGET: forget(s, i); break;
    }
}
