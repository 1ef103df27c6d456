/* What processes do: operations of the program, each request a step of its own; and, beside them, the
 * thread that renews and lets go. */
#include <string.h>

#include "state.h"

/* -- operations */

/* Containers that it can name: those with a name, and what it holds. */
static bool knows(const Client *c, int container) {
    return is_name(container) || has(c->holds, container);
}

bool may_do(const State *s, int i, int what, int a, int x) {
    const Client *c = &s->client[i];
    const Server *server = &s->server;
    if (!s->ops || c->alive == DEAD || c->op.kind) return false;
    bool is_there = server->state[a] != ABSENT;
    switch (what) {
        case DO_STORE:
            /* What a sleeper puts into something with a lease is protected by nothing. */
            if (c->alive == ASLEEP && server->state[a] == LEASED) return false;
            return knows(c, a) && is_there && has(c->holds, x) && !has(server->inside[a], x);
        case DO_TAKE_OUT:
            return knows(c, a) && is_there && has(server->inside[a], x);
        case DO_READ:
            return knows(c, a) && is_there && has(server->inside[a], x) && !has(c->holds, x) &&
                   server->state[x] != ABSENT;
        case DO_DELETE:
            return is_name(a) && is_there;
        case DO_CREATE:
            return is_name(a) && !is_there;
        case DO_DROP:
            return has(c->holds, a);
        case DO_SEND:
            return config.mail && c->alive == LIVE && has(c->holds, a) && !s->mail[a];
        case DO_RECEIVE:
            return c->alive == LIVE && s->mail[a] && !has(c->holds, a);
    }
    return false;
}

/* M3: who fetches a proxy renews it soon. */
static void fetch(Client *c, int x) {
    c->holds |= bit(x);
    c->going &= ~bit(x);
    if (left_out[NO_RENEWAL_ON_FETCH]) return;
    c->fresh |= bit(x);
    c->due |= bit(x);
}

/* M7: the entry of what was given away is not struck, it ends by itself. */
static void drop(Client *c, int x) {
    c->holds &= ~bit(x);
    c->due &= ~bit(x);
    c->fresh &= ~bit(x);
    if (!has(c->given, x) || left_out[STRUCK_THOUGH_STORED]) c->going |= bit(x);
}

static void begin_store(Op *op, int request, int want) {
    op->request = (u8)request;
    op->visit = bit(op->object);
    op->seen = op->partial = op->stamp = 0;
    op->want = (u8)want;
}

void start_op(State *s, int i, int what, int a, int x) {
    Client *c = &s->client[i];
    s->ops--;
    switch (what) {
        case DO_STORE:
            c->given |= bit(x);
            c->op = (Op){.kind = STORE, .container = (u8)a, .object = (u8)x};
            begin_store(&c->op, is_name(a) ? KEEP : TRY, 0);
            go_on(s, i);
            break;
        case DO_TAKE_OUT: take_out(s, a, x); break;
        case DO_READ: fetch(c, x); break;
        case DO_DELETE: delete(s, a); break;
        case DO_CREATE: s->server.state[a] = WHOLE; break;
        case DO_DROP: drop(c, a); break;
        case DO_SEND:
            c->given |= bit(a);
            c->op = (Op){.kind = SEND, .object = (u8)a, .visit = bit(a)};
            go_on(s, i);
            break;
        case DO_RECEIVE:
            fetch(c, a);
            s->mail[a] = 0;
            break;
    }
}

static void refused_or_done(State *s, Op *op, Answer answer) {
    if (answer == RETAIN)
        begin_store(op, KEEP, s->server.epoch[op->container]);
    else
        *op = (Op){0};
}

/* Level by level: the object, then what those contain that are partial. The stamp is the smallest
 * epoch that was told. What is lost ends it, also below: what contains it must stay grey, so that the
 * settling under way is undone. */
static void keep_one(State *s, int i) {
    Op *op = &s->client[i].op;
    int x = op->stamp ? first_of(op->visit) : op->object;
    u8 epoch = 0, inside = 0;
    Answer answer = keep(s, i, x, op->want, &epoch, &inside);
    bool is_end = !op->stamp || (answer == LOST && !left_out[LOST_BELOW]);
    if (answer != TAKEN && is_end) {
        *op = (Op){0}; /* ObjectGone */
        return;
    }
    op->visit &= ~bit(x);
    op->seen |= bit(x);
    if (answer == TAKEN) {
        if (!op->stamp || epoch < op->stamp) op->stamp = epoch;
        if (inside) op->partial |= bit(x);
        op->visit |= inside & ~op->seen;
    }
    if (op->visit) return;
    op->visit = op->partial;
    op->seen = op->partial = 0;
    op->request = op->visit ? MAKE_WHOLE : PUT;
}

static void store_on(State *s, int i) {
    Op *op = &s->client[i].op;
    switch (op->request) {
        case TRY: refused_or_done(s, op, put(s, op->container, op->object, 0)); break;
        case KEEP: keep_one(s, i); break;
        case MAKE_WHOLE:
            whole(s, first_of(op->visit), op->stamp);
            op->visit &= op->visit - 1;
            if (!op->visit) op->request = PUT;
            break;
        case PUT: refused_or_done(s, op, put(s, op->container, op->object, op->stamp)); break;
    }
}

/* M4: it is renewed for whoever receives it, with all below. */
static void send_on(State *s, int i) {
    Op *op = &s->client[i].op;
    if (op->visit && !left_out[NO_RENEWAL_ON_SEND]) {
        int x = first_of(op->visit);
        u8 inside;
        op->seen |= bit(x);
        if (!renew(s, i, NOBODY, x, &inside) && x == op->object) {
            *op = (Op){0}; /* ObjectGone */
            return;
        }
        op->visit = (op->visit | inside) & ~op->seen;
        if (op->visit) return;
    }
    if (s->server.state[op->object] != ABSENT) s->mail[op->object] = (u8)config.mail;
    *op = (Op){0};
}

/* What a sleeper sends keeps nothing: it is not looked at before it has renewed. */
bool may_go_on(const Client *c) {
    return c->alive != DEAD && c->op.kind && (c->op.kind != SEND || c->alive == LIVE);
}

void go_on(State *s, int i) {
    if (s->client[i].op.kind == STORE)
        store_on(s, i);
    else
        send_on(s, i);
}

/* -- the thread that renews */

bool has_renewed(const Client *c) {
    return !c->due && !c->below;
}

bool may_renew(const State *s, int i) {
    const Client *c = &s->client[i];
    return c->alive != DEAD && s->ticks && !has_renewed(c);
}

/* ObjectGone, also for an operation with it. */
static void find_gone(Client *c, int x) {
    c->holds &= ~bit(x);
    if (c->op.kind && (c->op.object == x || c->op.container == x)) c->op = (Op){0};
}

/* One object: first all that it holds, for itself; then what those lead to, for nobody. */
void renew_one(State *s, int i) {
    Client *c = &s->client[i];
    bool is_own = c->due;
    int x = first_of(is_own ? c->due : c->below);
    u8 inside;
    bool is_there = renew(s, i, is_own || left_out[WALK_AS_OWN] ? i : NOBODY, x, &inside);
    if (left_out[WALK_SKIPS_HELD]) inside &= ~c->holds;
    if (is_own) {
        c->due &= ~bit(x);
        c->fresh &= ~bit(x);
        if (!is_there) find_gone(c, x);
    } else {
        c->below &= ~bit(x);
        c->seen |= bit(x);
    }
    c->below |= inside & ~c->seen;
    if (!has_renewed(c)) return;
    c->seen = 0;
    if (c->alive == ASLEEP) c->woken = 1;
    c->alive = LIVE; /* also one that was paused: what it holds now is held */
}

/* M7: behind a renewal of all that is new. */
bool may_strike(const State *s, int i) {
    const Client *c = &s->client[i];
    if (c->alive == DEAD || !c->going) return false;
    return left_out[STRUCK_TOO_EARLY] || (!c->fresh && !c->below);
}

void strike(State *s, int i) {
    Client *c = &s->client[i];
    int x = first_of(c->going);
    c->going &= c->going - 1;
    let_go(s, i, x);
}

void die(State *s, int i) {
    memset(&s->client[i], 0, sizeof s->client[i]);
}
