/* What processes do: operations of the program, each request a step of its own; and, beside them, the
 * thread that renews and lets go. */
#include <string.h>

#include "state.h"

/* -- operations */

/* Containers that it can name: those with a name, and what it holds. */
static bool knows(const Client *c, int container) {
    return is_name(container) || has(c->holds, container);
}

/* A gift that is counted is for a process that starts with it. */
static bool may_receive(const State *s, const Client *c, int x) {
    if (!s->mail[x]) return false;
    if (!s->from[x] || left_out[GIVEN_TO_ANYONE])
        return c->alive == LIVE && (!has(c->holds, x) || s->from[x]);
    return c->alive == UNBORN;
}

bool may_do(const State *s, int i, int what, int a, int x) {
    const Client *c = &s->client[i];
    const Server *server = &s->server;
    if (!s->ops || c->op.kind) return false;
    if (what == DO_RECEIVE) return may_receive(s, c, a);
    if (!is_running(c)) return false;
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
        case DO_GIVE:
            if (what == DO_GIVE && !has(c->counted, a) && !left_out[GIVEN_BY_ANYONE]) return false;
            return config.mail && c->alive == LIVE && has(c->holds, a) && !s->mail[a];
        case DO_FORK:
            return c->alive == LIVE && c->holds && s->client[a].alive == UNBORN;
    }
    return false;
}

/* M3: who fetches a proxy renews it soon. */
static void fetch(Client *c, int x) {
    c->holds |= bit(x);
    if (!left_out[NO_RENEWAL_ON_FETCH]) c->due |= bit(x);
}

static void forget_gifts(Client *c, int x) {
    c->gifts[x] = 0;
    memset(c->owed[x], 0, sizeof c->owed[x]);
}

/* M7: of what was given away uncounted nobody is told; its lease ends. */
static void drop(Client *c, int x) {
    if (has(c->counted, x))
        c->going |= bit(x);
    else if (!has(c->going, x))
        forget_gifts(c, x);
    c->holds &= ~bit(x);
    c->due &= ~bit(x);
    c->counted &= ~bit(x);
}

/* It is put into a container, or sent: who will have it is not known. */
static void spread(Client *c, int x) {
    if (!left_out[LET_GO_THOUGH_STORED]) c->counted &= ~bit(x);
}

static void receive(State *s, Client *c, int x) {
    c->alive = LIVE;
    fetch(c, x);
    if (s->from[x]) {
        c->owed[x][s->from[x] - 1]++;
        c->counted |= bit(x);
    }
    if (!s->from[x] || !left_out[RECEIVED_TWICE])
        s->mail[x] = s->from[x] = 0;
}

/* A fork gives all that there is. */
static void fork_client(State *s, int i, int child) {
    Client *c = &s->client[i], *d = &s->client[child];
    d->alive = LIVE;
    for (int x = config.names; x < object_count(); x++) {
        if (!has(c->holds, x)) continue;
        fetch(d, x);
        if (!has(c->counted, x) && !left_out[GIVEN_BY_ANYONE]) continue;
        c->gifts[x]++;
        d->owed[x][i] = 1;
        d->counted |= bit(x);
    }
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
            spread(c, x);
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
            spread(c, a);
            c->op = (Op){.kind = SEND, .object = (u8)a, .visit = bit(a)};
            go_on(s, i);
            break;
        case DO_GIVE:
            c->gifts[a]++;
            c->op = (Op){.kind = GIVE, .object = (u8)a, .visit = bit(a)};
            go_on(s, i);
            break;
        case DO_RECEIVE: receive(s, c, a); break;
        case DO_FORK: fork_client(s, i, a); break;
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
        if (!renew(s, i, x, &inside) && x == op->object) {
            *op = (Op){0}; /* ObjectGone */
            return;
        }
        op->visit = (op->visit | inside) & ~op->seen;
        if (op->visit) return;
    }
    if (s->server.state[op->object] != ABSENT) {
        s->mail[op->object] = (u8)config.mail;
        s->from[op->object] = (u8)(op->kind == GIVE ? i + 1 : 0);
    }
    *op = (Op){0};
}

/* What a sleeper sends keeps nothing: it is not looked at before it has renewed. */
bool may_go_on(const Client *c) {
    return is_running(c) && c->op.kind && (!is_sent(&c->op) || c->alive == LIVE);
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
    return is_running(c) && s->ticks && !has_renewed(c);
}

/* ObjectGone, also for an operation with it. */
static void find_gone(Client *c, int x) {
    c->holds &= ~bit(x);
    if (c->op.kind && (c->op.object == x || c->op.container == x)) c->op = (Op){0};
}

/* One object: first all that it holds, then what those lead to. */
void renew_one(State *s, int i) {
    Client *c = &s->client[i];
    bool is_own = c->due;
    int x = first_of(is_own ? c->due : c->below);
    u8 inside;
    bool is_there = renew(s, i, x, &inside);
    if (is_own) {
        c->due &= ~bit(x);
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

void let_go_of_one(State *s, int i) {
    Client *c = &s->client[i];
    int x = first_of(c->going);
    c->going &= c->going - 1;
    let_go(s, i, x);
    if (left_out[LET_GO_TWICE]) let_go(s, i, x);
    forget_gifts(c, x);
}

void die(State *s, int i) {
    memset(&s->client[i], 0, sizeof s->client[i]);
}
