/* The search: breadth first, so that what it finds first is a shortest way; or random walks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "moves.h"

Config config = {.names = 1, .unnamed = 2, .clients = 2, .collectors = 1, .ops = 1, .ticks = 2,
                 .looks = 1, .lease = 3, .mail = 0, .kills = 1, .lose = 2, .reasons = 1,
                 .limit = 20000000};
bool left_out[RULE_COUNT];

#define RULE_TEXT(number, text) text,
static const char *const rule_names[] = {RULES(RULE_TEXT)};
static const char *const wrong_names[] = {
    "right",
    "S1: something reachable was removed",
    "S2: a name leads to something with a lease",
    "S3: a living process was refused what is there",
    "L1: a put never ends",
    "L2: something unreachable stays",
    "L3: looks do not end",
    "I: an invariant of the proof does not hold",
};

static void end_without_memory(void) {
    fprintf(stderr, "out of memory\n");
    exit(2);
}

static void *allocate(void *old, size_t size) {
    void *found = realloc(old, size);
    if (!found) end_without_memory();
    return found;
}

/* -- states that have been seen, as fingerprints of 64 bits; 0 is none */

typedef struct {
    uint64_t *all;
    size_t size, used;
} Seen;

static uint64_t fingerprint(const void *bytes, size_t size) {
    uint64_t a = 0x9E3779B97F4A7C15u, b = 0xC2B2AE3D27D4EB4Fu, v;
    const char *at = bytes;
    for (size_t i = 0; i < size; i += 8) {
        v = 0;
        memcpy(&v, at + i, size - i < 8 ? size - i : 8);
        a = (a ^ v) * 0xff51afd7ed558ccdu;
        a ^= a >> 32;
        b = (b + v) * 0xc4ceb9fe1a85ec53u;
        b ^= b >> 29;
    }
    a ^= b;
    return a ? a : 1;
}

static bool put_in(Seen *seen, uint64_t f) {
    size_t i = (f >> 8) & (seen->size - 1);
    for (; seen->all[i]; i = (i + 1) & (seen->size - 1))
        if (seen->all[i] == f) return false;
    seen->all[i] = f;
    return true;
}

static bool is_new(Seen *seen, uint64_t f) {
    if (4 * seen->used >= 3 * seen->size) {
        Seen grown = {NULL, seen->size ? 2 * seen->size : 1 << 12, seen->used};
        grown.all = calloc(grown.size, sizeof *grown.all);
        if (!grown.all) end_without_memory();
        for (size_t i = 0; i < seen->size; i++)
            if (seen->all[i]) put_in(&grown, seen->all[i]);
        free(seen->all);
        *seen = grown;
    }
    if (!put_in(seen, f)) return false;
    seen->used++;
    return true;
}

static Seen states, servers;

/* The quiet end depends on nothing but the server. */
static Wrong end_of(const State *s) {
    if (s->has_saved || !is_new(&servers, fingerprint(&s->server, sizeof s->server))) return RIGHT;
    return quiet_end(s);
}

/* -- how each state was reached, and those of one depth */

typedef struct {
    uint32_t before;
    Move move;
} Origin;

typedef struct {
    char *states;
    uint32_t *origins;
    size_t count, room;
} Level;

static Origin *origins;
static size_t origin_count, origin_room;

static uint32_t note_origin(uint32_t before, Move move) {
    if (origin_count == origin_room) {
        origin_room = origin_room ? origin_room * 3 / 2 : 1 << 12;
        origins = allocate(origins, origin_room * sizeof *origins);
    }
    origins[origin_count] = (Origin){before, move};
    return (uint32_t)origin_count++;
}

static void push(Level *level, const State *s, uint32_t origin) {
    if (level->count == level->room) {
        level->room = level->room ? level->room * 3 / 2 : 1 << 10;
        level->states = allocate(level->states, level->room * state_size());
        level->origins = allocate(level->origins, level->room * sizeof *level->origins);
    }
    memcpy(level->states + level->count * state_size(), s, state_size());
    level->origins[level->count++] = origin;
}

/* The first origins are those of the starts. */
static void show_way(uint32_t last, Wrong wrong) {
    size_t count = 0;
    uint32_t i = last;
    for (; i >= (uint32_t)start_count; i = origins[i].before) count++;
    uint32_t *way = allocate(NULL, (count + 1) * sizeof *way);
    State s = make_start((int)i);
    size_t k = count;
    for (i = last; i >= (uint32_t)start_count; i = origins[i].before) way[--k] = i;
    printf("%s, after %zu steps\n", wrong_names[wrong], count);
    print_state(&s);
    for (k = 0; k < count; k++) {
        printf("   ");
        print_move(&s, origins[way[k]].move);
        make_move(&s, origins[way[k]].move);
        print_state(&s);
    }
    free(way);
}

static bool is_cut_short;
static long transitions;

static Wrong enter(const State *s, uint32_t before, Move move, Level *next) {
    if (!s->wrong && !is_new(&states, fingerprint(s, state_size()))) return RIGHT;
    uint32_t here = note_origin(before, move);
    Wrong wrong = s->wrong ? s->wrong : end_of(s);
    if (wrong)
        show_way(here, wrong);
    else
        push(next, s, here);
    if ((long)states.used >= config.limit) is_cut_short = true;
    return wrong;
}

/* All that may follow one state; the first wrong one is shown. */
static Wrong expand(const char *from, uint32_t origin, Level *next) {
    State s;
    Move moves[MOVES];
    memset(&s, 0, sizeof s);
    memcpy(&s, from, state_size());
    int count = find_moves(&s, moves);
    for (int i = 0; i < count; i++) {
        State t = s;
        if (!make_move(&t, moves[i])) continue;
        transitions++;
        Wrong wrong = enter(&t, origin, moves[i], next);
        if (wrong) return wrong;
    }
    return RIGHT;
}

static Wrong search(void) {
    Level level = {0}, next = {0};
    Wrong wrong = RIGHT;
    int depth = 0;
    for (int i = 0; i < start_count; i++) note_origin(0, (Move){0});
    for (int i = 0; i < start_count && !wrong; i++) {
        State s = make_start(i);
        if (!is_new(&states, fingerprint(&s, state_size()))) continue;
        push(&level, &s, (uint32_t)i);
        wrong = end_of(&s);
        if (wrong) show_way((uint32_t)i, wrong);
    }
    for (; level.count && !wrong && !is_cut_short; depth++) {
        next.count = 0;
        for (size_t i = 0; i < level.count && !wrong && !is_cut_short; i++)
            wrong = expand(level.states + i * state_size(), level.origins[i], &next);
        Level done = level;
        level = next;
        next = done;
    }
    printf("%zu states, %ld transitions, depth %d, %.1f s%s: %s\n", states.used, transitions, depth,
           (double)clock() / CLOCKS_PER_SEC, is_cut_short ? " (limit)" : "", wrong_names[wrong]);
    return wrong;
}

/* -- random walks, each to where nothing can happen any more */

static uint64_t chance;

static int below(int n) {
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (int)((chance >> 20) % (uint64_t)n);
}

/* Looks are slow in one walk and fast in another, or none of the rest would meet with them. */
static int choose(const Move *moves, int count, const int *weights) {
    int sum = 0;
    for (int i = 0; i < count; i++) sum += weights[moves[i].kind];
    if (!sum) return below(count);
    int at = below(sum), i = 0;
    while (at >= weights[moves[i].kind]) at -= weights[moves[i++].kind];
    return i;
}

static Wrong walk(void) {
    static const int speeds[] = {1, 4, 16, 64, 200};
    int weights[] = {2, 40, 40, 20, speeds[below(5)], 1, 10};
    Move moves[MOVES];
    uint32_t here = (uint32_t)below(start_count);
    State s = make_start((int)here);
    origin_count = (size_t)start_count;
    for (;;) {
        int count = find_moves(&s, moves);
        if (!count) return RIGHT;
        State t = s;
        Move move = moves[choose(moves, count, weights)];
        if (!make_move(&t, move)) continue;
        transitions++;
        s = t;
        here = note_origin(here, move);
        Wrong wrong = s.wrong ? s.wrong : below(20) ? RIGHT : end_of(&s);
        if (!wrong) continue;
        show_way(here, wrong);
        return wrong;
    }
}

static Wrong walks(void) {
    Wrong wrong = RIGHT;
    for (int i = 0; i < start_count; i++) note_origin(0, (Move){0});
    chance = 0x2545F4914F6CDD1Du ^ (uint64_t)config.seed << 32;
    long i = 0;
    for (; i < config.walks && !wrong; i++) wrong = walk();
    printf("%ld walks, %ld transitions, %.1f s: %s\n", i, transitions,
           (double)clock() / CLOCKS_PER_SEC, wrong_names[wrong]);
    return wrong;
}

/* -- the command line */

static const struct {
    const char *name;
    int *value;
} keys[] = {{"names", &config.names}, {"unnamed", &config.unnamed}, {"clients", &config.clients},
            {"collectors", &config.collectors}, {"ops", &config.ops}, {"ticks", &config.ticks},
            {"looks", &config.looks}, {"lease", &config.lease}, {"mail", &config.mail},
            {"kills", &config.kills}, {"naps", &config.naps}, {"backs", &config.backs},
            {"outages", &config.outages}, {"crashes", &config.crashes}, {"lose", &config.lose},
            {"forgets", &config.forgets}, {"pieces", &config.pieces}, {"unborn", &config.unborn},
            {"symmetry", &config.symmetry}, {"reasons", &config.reasons},
            {"invariants", &config.invariants}, {"walks", &config.walks}, {"seed", &config.seed}};

static bool leave_out(char *names) {
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        int rule = 0;
        while (rule < RULE_COUNT && strcmp(name, rule_names[rule])) rule++;
        if (rule == RULE_COUNT) return false;
        left_out[rule] = true;
    }
    return true;
}

/* Starts come last: they are read with what was set before. */
static bool set(char *argument) {
    char *value = strchr(argument, '=');
    if (!value) return false;
    *value++ = 0;
    if (!strcmp(argument, "leave_out")) return leave_out(value);
    if (!strcmp(argument, "start")) return add_start(value);
    if (!strcmp(argument, "limit")) {
        config.limit = atol(value);
        return true;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(argument, keys[i].name)) {
            *keys[i].value = atoi(value);
            return true;
        }
    return false;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!set(argv[i])) {
            fprintf(stderr, "what is %s?\n", argv[i]);
            return 2;
        }
    if (object_count() > OBJECTS || config.clients > CLIENTS || config.collectors > LOOKS ||
        !start_count) {
        fprintf(stderr, "too many of something, or no start\n");
        return 2;
    }
    return (config.walks ? walks() : search()) ? 1 : 0;
}
