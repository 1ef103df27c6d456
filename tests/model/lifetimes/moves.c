/* Everything that may happen in a state, and what to call it. */
#include <stdio.h>
#include <string.h>

#include "moves.h"

typedef struct {
    Move *found;
    int count;
} List;

static void add(List *list, int kind, int who, int what, int a, int x) {
    list->found[list->count++] =
        (Move){.kind = (u8)kind, .who = (u8)who, .what = (u8)what, .a = (u8)a, .x = (u8)x};
}

static void add_operations(const State *s, int c, List *list) {
    for (int d = 0; d < config.clients; d++)
        if (may_do(s, c, DO_FORK, d, 0)) add(list, OPERATION, c, DO_FORK, d, 0);
    for (int a = 0; a < object_count(); a++) {
        for (int x = config.names; x < object_count(); x++)
            for (int what = DO_STORE; what <= DO_READ; what++)
                if (may_do(s, c, what, a, x)) add(list, OPERATION, c, what, a, x);
        for (int what = is_name(a) ? DO_DELETE : DO_DROP; what <= (is_name(a) ? DO_CREATE : DO_RECEIVE);
             what++)
            if (may_do(s, c, what, a, 0)) add(list, OPERATION, c, what, a, 0);
    }
}

int find_moves(const State *s, Move *found) {
    List list = {found, 0};
    for (int c = 0; c < config.clients; c++) {
        if (may_go_on(&s->client[c])) add(&list, REQUEST, c, 0, 0, 0);
        if (may_renew(s, c)) add(&list, RENEWAL, c, 0, 0, 0);
        if (s->client[c].going) add(&list, LET_GO, c, 0, 0, 0);
        add_operations(s, c, &list);
    }
    for (int k = 0; k < config.collectors; k++) {
        if (!may_look(s, k)) continue;
        add(&list, LOOK, k, 0, 0, 0);
        bool may_repeat = left_out[STEP_REPEATED] && s->look[k].stage == STEP;
        if (may_repeat) add(&list, LOOK, k, 1, 0, 0);
    }
    for (int what = 0; what < FAULTS; what++)
        for (int i = 0; i < OBJECTS; i++)
            if (may_fault(s, what, i)) add(&list, FAULT, 0, what, i, 0);
    int fates = 1;
    for (int c = 0; c < config.clients; c++) fates *= FATES;
    for (int i = 0; i < fates; i++)
        if (may_tick(s, i)) add(&list, TICK, 0, i, 0, 0);
    return list.count;
}

bool make_move(State *s, Move m) {
    Server before;
    if (s->has_saved) before = s->server;
    switch (m.kind) {
        case OPERATION: start_op(s, m.who, m.what, m.a, m.x); break;
        case REQUEST: go_on(s, m.who); break;
        case RENEWAL: renew_one(s, m.who); break;
        case LET_GO: let_go_of_one(s, m.who); break;
        case LOOK: look_on(s, m.who, m.what); break;
        case FAULT: fault(s, m.what, m.a); break;
        case TICK: tick(s, m.what); break;
    }
    if (s->has_saved && memcmp(&before, &s->server, sizeof before)) s->unsaved++;
    make_canonical(s);
    check(s);
    return !s->has_saved || s->unsaved <= config.lose;
}

/* -- in words */

static char letter(int i) {
    return (char)(is_name(i) ? 'A' + i : 'a' + i - config.names);
}

static void print_set(u8 set) {
    for (int x = 0; x < object_count(); x++)
        if (has(set, x)) printf("%c", letter(x));
}

static void print_request(const State *s, int c) {
    static const char *const requests[] = {"store without a stamp", "keep", "whole", "store"};
    const Op *op = &s->client[c].op;
    if (is_sent(op)) {
        printf("%d renews what it sends", c);
        return;
    }
    printf("%d: %s", c, requests[op->request]);
    if (op->request == KEEP)
        printf(" %c", letter(op->stamp ? first_of(op->visit) : op->object));
    else if (op->request == MAKE_WHOLE)
        printf(" %c", letter(first_of(op->visit)));
    else
        printf(" %c in %c", letter(op->object), letter(op->container));
    if (op->stamp) printf(", stamp %d", op->stamp);
}

static void print_operation(Move m) {
    static const char *const words[] = {"puts %c into %c",     "removes %c from %c",
                                        "fetches %c out of %c", "deletes %c",
                                        "makes %c",             "drops %c",
                                        "sends %c",             "gives %c",
                                        "receives %c"};
    printf("%d ", m.who);
    if (m.what == DO_FORK)
        printf("forks %d", m.a);
    else if (m.what <= DO_READ)
        printf(words[m.what], letter(m.x), letter(m.a));
    else
        printf(words[m.what], letter(m.a));
}

static void print_look(const State *s, Move m) {
    static const char *const stages[] = {"chooses an epoch", "begin",  "roots", "tops",
                                         "step",             "cut",    "settle", "undo",  "sweep"};
    const Look *look = &s->look[m.who];
    printf("look %d: %s", m.who, stages[look->stage]);
    if (look->stage == REST) return;
    printf(" %c, epoch %d", letter(look->at), look->epoch);
    if (look->marks) {
        printf(", to mark ");
        print_set(look->marks);
    }
    if (m.what) printf(", the reply is lost");
}

static void print_tick(Move m) {
    static const char *const words[] = {"", ", %d is killed", ", %d sleeps"};
    printf("tick");
    for (int c = 0, fates = m.what; c < config.clients; c++, fates /= FATES)
        if (fates % FATES) printf(words[fates % FATES], c);
}

void print_move(const State *s, Move m) {
    static const char *const faults[] = {"the clock goes back", "the server is away for a lease",
                                         "(what a crash goes back to)", "the server crashes",
                                         "the epoch is forgotten of"};
    switch (m.kind) {
        case OPERATION: print_operation(m); break;
        case REQUEST: print_request(s, m.who); break;
        case RENEWAL:
            printf("%d renews %c", m.who,
                   letter(first_of(s->client[m.who].due ? s->client[m.who].due
                                                        : s->client[m.who].below)));
            break;
        case LET_GO: printf("%d lets go of %c", m.who, letter(first_of(s->client[m.who].going))); break;
        case LOOK: print_look(s, m); break;
        case FAULT:
            printf("%s", faults[m.what]);
            if (m.what == FORGET) printf(" %c", letter(m.a));
            break;
        case TICK: print_tick(m); break;
    }
}

void print_state(const State *s) {
    static const char *const states[] = {"gone", "leased", "partial", "whole"};
    const Server *x = &s->server;
    printf("   [");
    for (int i = 0; i < object_count(); i++) {
        printf("%s%c", i ? " | " : "", letter(i));
        if (!is_name(i) || x->state[i] == ABSENT) printf(" %s", states[x->state[i]]);
        if (is_kept(x, i))
            printf(" %s", x->score[i] < 2 * x->epoch[i] ? "white" : x->score[i] & 1 ? "black" : "grey");
        if (x->inside[i]) printf(" has "), print_set(x->inside[i]);
        if (x->epoch[i]) printf(", epoch %d%s", x->epoch[i], x->settled[i] ? " settled" : "");
        if (x->until[i]) printf(", for %d", x->until[i]);
        for (int o = 0; o < object_count(); o++)
            if (x->cut[i][o] && x->cut[i][o] < LAPSED) printf(", cut %c", letter(o));
        if (s->mail[i]) printf(", under way");
    }
    for (int c = 0; c < config.clients; c++) {
        if (!s->client[c].holds) continue;
        printf(" | %d%s has ", c, s->client[c].alive == ASLEEP ? " asleep" : "");
        print_set(s->client[c].holds);
    }
    printf("]\n");
}
