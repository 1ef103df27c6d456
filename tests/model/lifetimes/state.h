/* What there is in the model of docs/lifetimes.md: a server, processes, and looks of the collector.
 *
 * Objects are numbered: first the named ones, then the unnamed. Each is alone in its partition, so
 * that a script, which touches one partition, touches one object. Sets of objects are bits. Time is
 * counted in ticks, of which a lease has `lease`; who lives renews in each of them. A State is
 * compared byte by byte: whatever has no meaning is zero. */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBJECTS = 6, CLIENTS = 3, LOOKS = 2 };

typedef uint8_t u8;
typedef int8_t i8;

/* What is explored. A number of each, or whether there is such a thing. */
typedef struct {
    int names, unnamed, clients, collectors;
    int ops, ticks, looks; /* operations of all clients, ticks, looks that begin */
    int lease;             /* in ticks: of what is held, and of what was removed */
    int mail;              /* for how many ticks a message may be under way; 0: there are none */
    int unborn;            /* clients that are started by others */
    int kills, naps;       /* whether processes are killed, and how often one is paused */
    int backs, outages, crashes; /* the clock goes back, the server is away, its last writes are lost */
    int lose;              /* steps that a crash may undo, at most */
    int forgets;           /* partitions that have nothing forget their epoch */
    int pieces;            /* contents are read in pieces */
    int symmetry;          /* clients and looks are sorted: fewer states, traces that change names */
    int reasons;           /* a look at the end needs a reason */
    int invariants;        /* those of the proof are looked at, too */
    int walks, seed;       /* random walks instead of a search */
    long limit;            /* states */
} Config;

/* Rules that can be left out: each is then shown to be needed. */
#define RULES(RULE)                                                                     \
    RULE(NO_STAMP, "a put needs no stamp")                                              \
    RULE(NO_PARTIAL, "kept without what it contains")                                   \
    RULE(NO_WALK, "a renewal does not go below what is partial")                        \
    RULE(NO_WANT, "keep does not know the epoch that is wanted")                        \
    RULE(BLACK_AHEAD, "black in an epoch that has not begun")                           \
    RULE(NO_HELD_BY_KEEP, "keep holds nothing")                                         \
    RULE(NO_BLACK_BY_WHOLE, "whole leaves it grey")                                     \
    RULE(NO_CUT, "what is removed is not noted")                                        \
    RULE(NO_RENEWAL_ON_FETCH, "what is fetched is renewed a tick later")                \
    RULE(NO_RENEWAL_ON_SEND, "sent without a renewal")                                  \
    RULE(NO_ROOTS, "what is held is no root")                                           \
    RULE(NO_SHADE, "a renewal does not mark")                                           \
    RULE(LOST_BELOW, "whole though something below is lost")                            \
    RULE(NO_REFUSAL, "what is lost is not refused")                                     \
    RULE(LET_GO_THOUGH_STORED, "let go though it was given away uncounted")              \
    RULE(GIFTS_NOT_NOTED, "who lets go does not say how many he gave")                  \
    RULE(GIFTS_OF_ALL, "what all gave is one number")                                   \
    RULE(LET_GO_TWICE, "let go of twice")                                               \
    RULE(GIVEN_BY_ANYONE, "who is not counted gives a counted gift")                    \
    RULE(GIVEN_TO_ANYONE, "a counted gift goes to anyone")                              \
    RULE(RECEIVED_TWICE, "a counted gift is received twice")                            \
    RULE(EPOCH_NOT_ABOVE, "an epoch is not above what is marked")                       \
    RULE(EPOCH_SHARED, "two looks have one epoch")                                      \
    RULE(EPOCH_FORGOTTEN, "a partition forgets its epoch")                              \
    RULE(LAZY_BEGIN, "begun one by one")                                                \
    RULE(BLACK_WHEN_TOLD, "black when told")                                            \
    RULE(NO_CUT_READ, "what was removed is not asked for")                              \
    RULE(NO_LAST_ROUND, "no round behind what was removed")                             \
    RULE(CUT_FIRST, "what was removed is asked for first")                              \
    RULE(NO_SETTLING, "no settling")                                                    \
    RULE(NO_UNDO, "settled though something is grey")                                   \
    RULE(NO_FENCE, "a look that was overtaken sweeps")                                  \
    RULE(SKIPS_OVERTAKEN, "a sweep passes over what another has begun")                 \
    RULE(SURVIVES_BREAK, "a look goes on after a break")                                \
    RULE(STEP_REPEATED, "a step is repeated")                                           \
    RULE(NO_WAIT, "a look begins behind a start")                                       \
    RULE(NOT_KEPT_AGAIN, "not kept again after a break")                                \
    RULE(NOT_RENEWED_AGAIN, "not renewed after a break")                                \
    RULE(TRIM_BY_BEGIN, "trimmed by the time of the beginning")                         \
    RULE(TRIM_ALL, "trimmed though it lapsed during the look")                          \
    RULE(NO_UNFINISHED, "an unfinished look is no reason")                              \
    RULE(CUT_NO_REASON, "what was cut is no reason")

#define RULE_NUMBER(number, text) number,
enum { RULES(RULE_NUMBER) RULE_COUNT };
#undef RULE_NUMBER

extern Config config;
extern bool left_out[RULE_COUNT];

typedef enum {
    RIGHT,
    VANISHED,  /* something that a name, a living process or a message leads to was removed */
    HAS_LEASE, /* a name leads to something with a lease */
    REFUSED,   /* a living process was refused what is there */
    STUCK,     /* a put never ends */
    LEAKED,    /* everybody is gone, and something unreachable stays */
    RESTLESS,  /* looks do not end, or there is always a reason for another */
    INVARIANT, /* an invariant of the proof does not hold */
} Wrong;

/* ABSENT: of a name that was deleted, or of an unnamed object that is gone, or lost its lease. */
enum { ABSENT, LEASED, PARTIAL, WHOLE };

/* Entries of r:cut and of held: 0 none, else how many ticks it still speaks for its object; or it
 * lapsed, LAPSED + how many ticks ago. */
enum { LAPSED = 16 };

typedef struct {
    u8 state[OBJECTS];
    u8 score[OBJECTS];   /* kept: 2e grey, 2e+1 black in epoch e; less is white in e */
    u8 inside[OBJECTS];  /* <data>:refs */
    u8 epoch[OBJECTS];   /* r:cycle e; 0 where no partition is looked at any more */
    u8 settled[OBJECTS]; /* r:cycle s = e */
    u8 swept[OBJECTS];   /* r:cycle d = e */
    u8 until[OBJECTS];        /* its lease, or its score in held */
    u8 lapsed[OBJECTS];       /* an entry in held that ended */
    u8 cut[OBJECTS][OBJECTS]; /* r:cut in the partition of a container, of what was in it */
    i8 given[OBJECTS][CLIENTS]; /* <data>:given: gifts of who has let go, less those that came back */
} Server;

enum { DEAD, LIVE, ASLEEP, UNBORN }; /* ASLEEP: did not renew in time; nobody's root until it has */
enum { NO_OP, STORE, SEND, GIVE }; /* GIVE: send to a process that is about to start */
enum { TRY, KEEP, MAKE_WHOLE, PUT }; /* the requests of a store */

typedef struct {
    u8 kind, container, object, request;
    u8 visit, seen, partial; /* the walk: what is to be asked for, what was, what is to become whole */
    u8 stamp, want;          /* 0: none */
} Op;

typedef struct {
    u8 alive, holds;
    u8 due;        /* held, and not renewed in this tick */
    u8 below;      /* of the walk of the renewal: to be renewed for what contains it */
    u8 seen;
    u8 counted;    /* made, or received as a gift that is counted; never put into a container or sent */
    u8 gifts[OBJECTS];         /* how often it was given, counted */
    u8 owed[OBJECTS][CLIENTS]; /* how often it was received so, and from whom */
    u8 going;                  /* dropped: to be let go of */
    u8 woken;      /* was paused, and a look of then is not over: it may be refused what survives */
    Op op;
} Client;

enum { REST, BEGIN, ROOTS, TOPS, STEP, CUT, SETTLE, UNDO, SWEEP };

typedef struct {
    u8 stage, epoch, at; /* at: which partition is next */
    u8 marks, told;      /* to be marked; told whole, to be blackened */
    u8 again;            /* something was grey in this round */
    u8 piece;            /* of what is told now: where to go on */
    u8 confirms;         /* what was removed is known: a round that finds nothing is the last */
    i8 age;              /* ticks since it began, by the server's clock */
} Look;

typedef struct {
    Server server;
    Client client[CLIENTS];
    Look look[LOOKS];
    u8 mail[OBJECTS]; /* a message with a proxy is under way, for so many ticks at most */
    u8 from[OBJECTS]; /* it is counted: 1 + who gave it */
    u8 young;         /* ticks until a look may begin, after a start of the server */
    u8 ops, ticks, looks, naps, backs, outages, crashes, forgets;
    u8 has_saved, unsaved;
    u8 wrong;
    Server saved; /* what a crash goes back to; not compared where there is none */
} State;

static inline bool has(u8 set, int x) {
    return set >> x & 1;
}

static inline u8 bit(int x) {
    return (u8)(1u << x);
}

static inline int first_of(u8 set) {
    return __builtin_ctz(set);
}

static inline int object_count(void) {
    return config.names + config.unnamed;
}

static inline bool is_name(int x) {
    return x < config.names;
}

static inline bool is_running(const Client *c) {
    return c->alive == LIVE || c->alive == ASLEEP;
}

static inline bool is_sent(const Op *op) {
    return op->kind == SEND || op->kind == GIVE;
}

static inline bool is_kept(const Server *s, int x) {
    return !is_name(x) && s->state[x] >= PARTIAL;
}

/* scripts.c: what the server executes, one script a function */
typedef enum { TAKEN, GONE, LOST, RETAIN } Answer;
bool is_lost(const Server *s, int x);
Answer keep(State *s, int c, int x, int want, u8 *epoch, u8 *inside);
void whole(State *s, int x, int stamp);
Answer put(State *s, int container, int x, int stamp);
void take_out(State *s, int container, int x);
void delete(State *s, int container);
bool renew(State *s, int c, int x, u8 *inside);
void let_go(State *s, int c, int x);
bool begin(State *s, int i, int epoch, bool again);
void roots(State *s, int i, int epoch);
bool settle(State *s, int i, int epoch);
void sweep(State *s, int i, const Look *look);
void vanish(State *s, u8 objects, bool is_excused);

/* clients.c */
enum { DO_STORE, DO_TAKE_OUT, DO_READ, DO_DELETE, DO_CREATE, DO_DROP, DO_SEND, DO_GIVE, DO_RECEIVE, DO_FORK };
bool may_do(const State *s, int c, int what, int a, int x);
void start_op(State *s, int c, int what, int a, int x);
bool may_go_on(const Client *c);
void go_on(State *s, int c);
bool has_renewed(const Client *c);
bool may_renew(const State *s, int c);
void renew_one(State *s, int c);
void let_go_of_one(State *s, int c);
void die(State *s, int c);

/* collector.c */
bool is_void(const Server *s, int i);
bool may_look(const State *s, int k);
void look_on(State *s, int k, bool reply_lost);
void end_phases(State *s, Look *look);
bool is_reason(const Server *s);

/* faults.c */
enum { GOES_ON, DIES, SLEEPS, FATES };
bool may_tick(const State *s, int fates);
void tick(State *s, int fates);
void pass_time(State *s, bool is_excused);
bool may_fault(const State *s, int what, int i);
enum { CLOCK_BACK, OUTAGE, SAVE, CRASH, FORGET, FAULTS };
void fault(State *s, int what, int i);

/* judge.c */
u8 reached_from(const Server *s, u8 todo);
u8 contents_of_names(const Server *s);
u8 all_roots(const State *s);
void check(State *s);
Wrong quiet_end(const State *from);

/* canonical.c */
void make_canonical(State *s);
size_t state_size(void);

/* starts.c */
bool add_start(const char *text);
extern State starts[];
extern int start_count;
State make_start(int i);

#endif
