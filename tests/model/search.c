/* All states, breadth first: the first that is wrong is one of the fewest steps.
 *
 *     holds [KEY=VALUE ...] [leave_out=RULE,RULE]
 *
 * prints the way to a wrong state, if there is one, and at last one line: "STATES states, ...". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "state.h"

Config config = {.clients = 2, .n = 1, .takes = 2, .L = 2, .G = 1, .faults = 1, .lose = 2,
                 .fence = 1, .assume = 1, .cut = 1, .background = 1, .slow = 1, .part = 1,
                 .stop = 1, .kill = 1, .half = 1, .limit = 20000000};
bool left_out[RULE_COUNT];

#define AS_TEXT(name, text) text,
const char *const rule_names[RULE_COUNT] = {RULES(AS_TEXT)};
const char *const wrong_names[WRONG_COUNT] = {
    "right",
    "S1: two holders",
    "S1: one believes to hold what the server does not know",
    "S2: elements lost or doubled",
    "S4: a token does not rise",
    "S5: a living session was removed",
    "S1: released twice by another",
    "S3: an element that nobody has",
    "L: a waiter gets nothing",
};

/* A space in front: behind the name of a client. */
const Step steps[] = {
    {" asks for an element", take, false},
    {" is registered", register_first, false},
    {"'s next command is executed", next_command, false},
    {"'s late command is executed", late_command, false},
    {"'s wait is over", time_out, false},
    {" hears", hear, false},
    {" releases", release, false},
    {" reconnects, fences, empties its place", recover, false},
    {" sends a heartbeat", send_beat, false},
    {"'s heartbeat is executed and answered", beat_arrives, false},
    {"'s late heartbeat is executed", late_beat_arrives, false},
    {"'s background reconnects", background_returns, false},
    {" enters anew", enter, false},
    {" makes its settling", send_settling, false},
    {"'s settling is executed", settling_arrives, false},
    {"'s late settling is executed", late_settling_arrives, false},
    {" empties a place that it gave up", clear_former_place, false},
    {" looks", look, false},
    {" removes a record", bury, false},
    {" saw a sibling end, and removes its record", sibling_saw_end, false},
    {"a tick", tick, true},
    {" releases what another holds", free_other, false},
    {": the server notices the end of its old connections", old_connections_noticed, false},
    {"'s background notices its cut", background_notices, false},
    {" is reached again", healed, false},
    {" goes on", resumed, false},
    {"the server is back", restarted, true},
    {"saved up to here", saved, true},
    {": connection cut, request still on its way", cut_on_its_way, false},
    {": connection cut, request lost", cut_and_lost, false},
    {": background cut, heartbeat still on its way", background_cut_on_its_way, false},
    {": background cut", background_cut, false},
    {": background half open", background_half_open, false},
    {": all cut off, the server does not see it", cut_off_unnoticed, false},
    {": all cut off", cut_off, false},
    {" is suspended", suspended, false},
    {" is killed, request still on its way", killed_on_its_way, false},
    {" is killed", killed, false},
    {"'s record is lost", record_lost, false},
    {"the server pauses", paused, true},
    {"the server stops", crashed, true},
};
const int step_count = sizeof steps / sizeof *steps;

/* Counters are only compared: those of each client are numbered anew. */
static void make_canonical(State *s) {
    for (int c = 0; c < config.clients; c++) {
        u8 *all[64];
        int count = 0;
        Client *x = &s->client[c];
#define ADD(field)              \
    do {                        \
        if (field) all[count++] = &(field); \
    } while (0)
        for (int name = 0; name < NAMES; name++) {
            ADD(s->data.record[c][name]);
            if (s->has_saved) ADD(s->saved.record[c][name]);
        }
        ADD(x->counter);
        if (x->beat)
            ADD(x->beat_counter);
        else
            x->beat_counter = x->beat_age = 0;
        if (x->late_beat)
            ADD(x->late_counter);
        else
            x->late_counter = x->late_name = 0;
        for (int w = 0; w < config.clients; w++) {
            ADD(s->watch[w][c].counter);
            if (s->verdict[w] == c + 1) ADD(s->verdict_counter[w]);
        }
#undef ADD
        u8 number[256] = {0}, next = 0;
        for (int i = 0; i < count; i++) number[*all[i]] = 1;
        for (int i = 1; i < 256; i++)
            if (number[i]) number[i] = ++next;
        for (int i = 0; i < count; i++) *all[i] = number[*all[i]];
    }
}

/* States that have been seen, as fingerprints of 128 bits. */
typedef struct {
    uint64_t a, b;
} Fingerprint;

static Fingerprint *table;
static size_t table_size, table_used;

static void *allocate(void *old, size_t size) {
    void *found = realloc(old, size);
    if (!found) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return found;
}

static Fingerprint fingerprint(const State *s) {
    Fingerprint f = {0x9E3779B97F4A7C15u, 0xC2B2AE3D27D4EB4Fu};
    const char *bytes = (const char *)s;
    for (size_t i = 0; i < sizeof *s; i += 8) {
        uint64_t v = 0;
        memcpy(&v, bytes + i, sizeof *s - i < 8 ? sizeof *s - i : 8);
        f.a = (f.a ^ v) * 0xff51afd7ed558ccdu;
        f.a ^= f.a >> 32;
        f.b = (f.b + v) * 0xc4ceb9fe1a85ec53u;
        f.b ^= f.b >> 29;
    }
    return f;
}

static bool put(Fingerprint f) {
    size_t i = f.a & (table_size - 1);
    for (; table[i].a || table[i].b; i = (i + 1) & (table_size - 1))
        if (table[i].a == f.a && table[i].b == f.b) return false;
    table[i] = f;
    return true;
}

static bool is_new(const State *s) {
    if (2 * table_used >= table_size) {
        Fingerprint *old = table;
        size_t old_size = table_size;
        table_size = old_size ? 2 * old_size : 1 << 16;
        table = allocate(NULL, table_size * sizeof *table);
        memset(table, 0, table_size * sizeof *table);
        for (size_t i = 0; i < old_size; i++)
            if (old[i].a || old[i].b) put(old[i]);
        free(old);
    }
    if (!put(fingerprint(s))) return false;
    table_used++;
    return true;
}

/* How each state was reached, and those of one depth. */
typedef struct {
    uint32_t before;
    u8 step, client;
} Origin;

typedef struct {
    State *states;
    uint32_t *origins;
    size_t count, room;
} Level;

static Origin *origins;
static size_t origin_count, origin_room;

static uint32_t note_origin(uint32_t before, int step, int client) {
    if (origin_count == origin_room) {
        origin_room = origin_room ? 2 * origin_room : 1 << 12;
        origins = allocate(origins, origin_room * sizeof *origins);
    }
    origins[origin_count] = (Origin){before, step, client};
    return origin_count++;
}

static void push(Level *level, const State *s, uint32_t origin) {
    if (level->count == level->room) {
        level->room = level->room ? 2 * level->room : 1 << 10;
        level->states = allocate(level->states, level->room * sizeof *level->states);
        level->origins = allocate(level->origins, level->room * sizeof *level->origins);
    }
    level->states[level->count] = *s;
    level->origins[level->count++] = origin;
}

static State initial(void) {
    State s;
    memset(&s, 0, sizeof s);
    s.up = 1;
    s.data.free = config.n;
    s.faults = config.faults;
    s.crashes = config.crashes;
    for (int c = 0; c < config.clients; c++) {
        Client *x = &s.client[c];
        x->alive = x->background = x->caller = x->places = x->counter = x->beaten = 1;
        x->takes = config.takes;
        x->frees = c == config.clients - 1 ? config.frees : 0;
        x->registered_as = !config.late;
        s.data.record[c][0] = 1;
        s.data.registered[c][0] = !config.late;
    }
    for (int c = 0; c < config.clients; c++) read_siblings(&s, c);
    return s;
}

static void show(const State *s) {
    printf("   [free %d, token %d", s->data.free, s->data.token);
    for (int c = 0; c < config.clients; c++) {
        printf(" | %c", 'A' + c);
        for (int name = 0; name < NAMES; name++) {
            bool record = s->data.record[c][name], registered = s->data.registered[c][name];
            if (record) printf(" record %d", name);
            if (registered) printf(record ? ", registered" : " tombstone %d", name);
        }
        for (int p = 0; p < PLACES; p++)
            if (s->data.at[c][p]) printf(" place %d", p);
        if (s->client[c].doing == HOLDING) printf(" HOLDS %d", s->client[c].token);
        if (s->client[c].age) printf(" age %d", s->client[c].age);
    }
    printf("]\n");
}

static void show_way(uint32_t last, Wrong wrong) {
    size_t count = 0;
    for (uint32_t i = last; i; i = origins[i].before) count++;
    uint32_t *way = allocate(NULL, (count + 1) * sizeof *way);
    for (uint32_t i = last, k = count; i; i = origins[i].before) way[--k] = i;
    printf("%s, after %zu steps\n", wrong_names[wrong], count);
    State s = initial();
    for (size_t k = 0; k < count; k++) {
        Origin o = origins[way[k]];
        const Step *step = &steps[o.step];
        step->take(&s, o.client);
        if (step->is_global)
            printf("   %s", step->text);
        else
            printf("   %c%s", 'A' + o.client, step->text);
        show(&s);
    }
    free(way);
}

static bool is_cut_short;
static long transitions;

/* All that may follow one state; the first wrong one is shown. */
static Wrong expand(const State *from, uint32_t origin, Level *next) {
    for (int step = 0; step < step_count; step++)
        for (int c = 0; c < config.clients; c++) {
            State s = *from;
            if (!steps[step].take(&s, c)) continue;
            if (s.has_saved && s.unsaved > config.lose) continue;
            transitions++;
            make_canonical(&s);
            check(&s);
            if (!s.wrong && !is_new(&s)) continue;
            uint32_t here = note_origin(origin, step, c);
            Wrong wrong = s.wrong ? s.wrong : s.has_saved ? RIGHT : quiet_end(&s);
            if (wrong) {
                show_way(here, wrong);
                return wrong;
            }
            push(next, &s, here);
            if ((long)table_used >= config.limit) is_cut_short = true;
        }
    return RIGHT;
}

static const struct {
    const char *name;
    int *value;
} keys[] = {{"clients", &config.clients}, {"n", &config.n}, {"takes", &config.takes},
            {"frees", &config.frees}, {"L", &config.L}, {"G", &config.G},
            {"faults", &config.faults}, {"crashes", &config.crashes}, {"lose", &config.lose},
            {"siblings", &config.siblings}, {"fence", &config.fence}, {"assume", &config.assume},
            {"cut", &config.cut}, {"slow", &config.slow}, {"background", &config.background},
            {"part", &config.part}, {"stop", &config.stop}, {"kill", &config.kill},
            {"deaf", &config.deaf}, {"half", &config.half}, {"wipe", &config.wipe},
            {"looks", &config.looks}, {"late", &config.late}, {"pause", &config.pause},
            {"ring", &config.ring}};

static bool leave_out(char *names) {
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        int rule = 0;
        while (rule < RULE_COUNT && strcmp(name, rule_names[rule])) rule++;
        if (rule == RULE_COUNT) return false;
        left_out[rule] = true;
    }
    return true;
}

static bool set(char *argument) {
    char *value = strchr(argument, '=');
    if (!value) return false;
    *value++ = 0;
    if (!strcmp(argument, "leave_out")) return leave_out(value);
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
    Level level = {0}, next = {0};
    State first = initial();
    is_new(&first);
    push(&level, &first, note_origin(0, 0, 0));
    Wrong wrong = RIGHT;
    int depth = 0;
    for (; level.count && !wrong && !is_cut_short; depth++) {
        next.count = 0;
        for (size_t i = 0; i < level.count && !wrong && !is_cut_short; i++)
            wrong = expand(&level.states[i], level.origins[i], &next);
        Level done = level;
        level = next;
        next = done;
    }
    printf("%zu states, %ld transitions, depth %d, %.1f s%s: %s\n", table_used, transitions, depth,
           (double)clock() / CLOCKS_PER_SEC, is_cut_short ? " (limit)" : "", wrong_names[wrong]);
    return wrong ? 1 : 0;
}
