/* What there is in the model of docs/holds.md: a server, and clients with what they believe.
 *
 * One object with n elements. Each client has a caller's connection and one in the background. Each
 * command is a step of its own, and so is a script. Time is counted in ticks: who can, sends a
 * heartbeat in each of them. A State is compared byte by byte: whatever has no meaning is zero. */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stdint.h>

enum { CLIENTS = 3, NAMES = 3, PLACES = 4 };
enum { TOKENS_OF_A_RUN = 40 }; /* stands for the microseconds to which a settling lifts the token */

typedef uint8_t u8;

/* What is explored. A number of each, or whether there is such a thing. */
typedef struct {
    int clients, n, takes, frees;
    int L, G;               /* lease and grace, in ticks */
    int faults, crashes;    /* how many of each */
    int lose;               /* steps that a crash may undo, at most; 0: none */
    int siblings;           /* clients that are on one host, as bits */
    int fence;              /* CLIENT KILL is allowed */
    int assume;             /* evidence is true: assumption (b) */
    int cut, background, part, stop, kill, deaf, half, wipe, pause; /* kinds of faults */
    int slow;               /* a heartbeat may be a while under way */
    int looks;              /* everybody looks, not only who waits */
    int late;               /* registers for the object at its first use */
    int ring;               /* siblings watch the next one only, not all */
    long limit;             /* states */
} Config;

/* Rules that can be left out: each is then shown to be needed. */
#define RULES(RULE)                                                               \
    RULE(ASKED_BEFORE_MOVE, "record asked before the move")                       \
    RULE(NOT_ASKED, "record not asked")                                           \
    RULE(ASKED_BEFORE_TOKEN, "record asked before the token")                     \
    RULE(MOVED_FIRST, "moved before the record is removed")                       \
    RULE(NO_SETTLING, "no settling")                                              \
    RULE(NOT_LIFTED, "tokens not lifted")                                         \
    RULE(NO_FENCE, "no fence and the same place")                                 \
    RULE(BACKGROUND_ONLY, "background connection only")                           \
    RULE(NO_CONDITION, "removal without condition")                               \
    RULE(BEAT_CREATES, "a beat makes a record")                                   \
    RULE(SAME_NAME, "same name after a lapse")                                    \
    RULE(NO_TOMBSTONE, "registration ends with the record")                       \
    RULE(SETTLES_UNREGISTERED, "settling registers nothing")                      \
    RULE(NO_GATE, "taking before settling")                                       \
    RULE(OLD_REPLY, "reply of an earlier run counts")                             \
    RULE(OVER_RESTART, "measured over a restart")                                 \
    RULE(SERVER_CLOCK, "lease by the server's clock")                             \
    RULE(SETTLES_BUSY, "settling empties places in use")                          \
    RULE(UNRECORDED, "release by another without a record")                       \
    RULE(NO_GRACE, "no grace")                                                    \
    RULE(UNANSWERED_TIME, "measured while the server did not answer")             \
    RULE(PUSHED_BACK, "given back by a push")                                     \
    RULE(RECOUNTED, "a missing element is made anew")                             \
    RULE(REGISTRATION_NOT_ASKED, "registration not asked")                        \
    RULE(HEARD_LATE, "heard late and not asked again")                            \
    RULE(WATCHED_ONCE, "siblings watch once")                                     \
    RULE(OLD_VERDICT, "a verdict outlives a restart")                             \
    RULE(NOT_RENEWED, "a caller's way back renews nothing")                       \
    RULE(NOT_NUMBERED, "settling has no number")                                  \
    RULE(FORMER_NAMES, "former name left")

#define AS_NAME(name, text) name,
typedef enum { RULES(AS_NAME) RULE_COUNT } Rule;
#undef AS_NAME

/* What the server keeps, and what a step back undoes. */
typedef struct {
    u8 free;                            /* elements that nobody has */
    u8 token;                           /* drawn last */
    u8 record[CLIENTS][NAMES];          /* counter of a session; 0: it is not there */
    u8 registered[CLIENTS][NAMES];      /* places of a name are looked through */
    u8 at[CLIENTS][PLACES];             /* elements at each place */
    u8 reply_cache[CLIENTS];            /* number of the last release by another */
    u8 executed[CLIENTS];               /* the same, kept by us, to see that none is done twice */
    u8 settling[CLIENTS];               /* number of the last settling */
} Data;

typedef enum { NO_REQUEST, TAKE, GIVE_BACK, FREE_OTHER } Kind;
typedef enum { ON_ITS_WAY, BLOCKED, MOVED, DRAWN, ANSWERED, OUTCOME_UNKNOWN = 9 } Stage;

typedef struct {
    u8 kind, stage, place;
    u8 token, granted, moved; /* the reply, as far as it is made */
    u8 run;                   /* of the server, when it was asked for */
    u8 number;
} Request;

typedef enum { IDLE, TAKING, HOLDING, GIVING, FREEING } Doing;

typedef struct {
    u8 alive, stopped, cut_off, deaf;   /* deaf: its background hears nothing and is not told */
    u8 background, caller;              /* connections: 1 works, 0 broken */
    u8 old_background, old_caller;      /* former ones that the server still lists */
    u8 doing, place, name, places, token;
    u8 name_of[PLACES];
    u8 wants;                           /* to take again */
    Request request, late;              /* under way; the same of a connection that broke */
    u8 age;                             /* since the last renewal that was answered was sent */
    u8 silent;                          /* since it renewed, by an answering server */
    u8 away;                            /* the same, of who has no connection */
    u8 gone;                            /* its last connection ended */
    u8 counter, beaten;                 /* of its record; in this tick */
    u8 beat, beat_age, beat_counter;    /* a heartbeat under way */
    u8 late_beat, late_counter, late_name;
    u8 run;                             /* of the server, in which it has settled */
    u8 lapsed;
    u8 freed;                           /* its hold was ended by another: no wrong is done */
    u8 undone;                          /* a step back took its hold, and it cannot know yet */
    u8 robbed;                          /* false evidence took its hold, and it cannot know yet */
    u8 takes, frees, number;            /* left to do; of its last release by another */
    u8 settles, keep, busy, settling;   /* a settling under way, with what it says */
    u8 late_settles, late_keep, late_busy, late_settling;
    u8 registered_as;                   /* name + 1 under which it used the object */
} Client;

/* What a looker knows of another session. */
typedef struct {
    u8 name, counter, age; /* its counter has been the same for so long */
    u8 absent, absent_for; /* none of its connections is listed */
} Watch;

typedef struct {
    Data data, saved;
    u8 up, paused, run, has_saved, unsaved, down;
    u8 waiting, queue[2 * CLIENTS]; /* blocked at the server: client * 2, + 1 for a late request */
    u8 faults, crashes;
    u8 highest_token, wrong, ttl[CLIENTS];
    Client client[CLIENTS];
    Watch watch[CLIENTS][CLIENTS];
    u8 looked[CLIENTS], watched_run[CLIENTS];
    u8 verdict[CLIENTS]; /* 1 + the client that this one takes for dead */
    u8 verdict_name[CLIENTS], verdict_counter[CLIENTS];
    u8 ends_seen[CLIENTS];
    u8 watches[CLIENTS]; /* with a ring: 1 + the sibling whose end this one will see */
} State;

/* What can be wrong. */
typedef enum {
    RIGHT,
    TWO_HOLDERS,
    FALSE_BELIEF,
    COUNT,
    TOKEN,
    LIVING_REMOVED,
    FREED_TWICE,
    GHOST,
    NO_PROGRESS,
    WRONG_COUNT
} Wrong;

extern Config config;
extern bool left_out[RULE_COUNT];
extern const char *const rule_names[RULE_COUNT];
extern const char *const wrong_names[WRONG_COUNT];

/* server.c */
void changes(State *s);
void serve_waiters(State *s);
void leave_queue(State *s, int entry);
void empty_place(State *s, int c, int place);
bool execute(State *s, int c, bool late);
bool is_present(const State *s, int c);
bool is_listed(const State *s, int c);
bool are_siblings(int a, int b);
void remove_record(State *s, int c, int name);
void remove_former_names(State *s, int c);
void lift_token(State *s);
void sweep(State *s);

/* steps.c: a step returns false if it cannot be taken here */
typedef bool StepFunction(State *s, int c);
typedef struct {
    const char *text;
    StepFunction *take;
    bool is_global;
} Step;
extern const Step steps[];
extern const int step_count;
extern bool closing;

bool has_settled(const State *s, const Client *x);
bool next_place(Client *x);
void end_hold(Client *x);

StepFunction take, register_first, next_command, late_command, time_out, hear, release, recover,
    send_beat, beat_arrives, late_beat_arrives, background_returns, enter, send_settling,
    settling_arrives, late_settling_arrives, clear_former_place, free_other;

/* evidence.c */
void read_siblings(State *s, int c);
StepFunction look, bury, sibling_saw_end, tick;

/* faults.c */
StepFunction old_connections_noticed, background_notices, healed, resumed, restarted, saved,
    cut_on_its_way, cut_and_lost, background_cut_on_its_way, background_cut, background_half_open,
    cut_off_unnoticed, cut_off, suspended, killed_on_its_way, killed, record_lost, paused, crashed;

/* judge.c */
void check(State *s);
Wrong quiet_end(const State *s);

#endif
