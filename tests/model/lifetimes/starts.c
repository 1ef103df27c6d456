/* States from which it starts, written in words of two characters. A B are names, a b c d unnamed
 * objects, 0 1 2 clients. So "Aa.ab.0b": a name leads to a, which contains b, which 0 has.
 *   Aa ab   contains          +a   kept, though no name leads to it
 *   0a      holds             %a   kept, and partial
 *   ~0      is asleep         @a   a message with it is under way, for one more tick
 * What is below something kept is kept. A tick has just begun: all that is held is to be renewed. */
#include <string.h>

#include "state.h"

enum { STARTS = 64 };
State starts[STARTS];
int start_count;

static int object_of(char letter) {
    if (letter >= 'A' && letter < 'A' + config.names) return letter - 'A';
    if (letter >= 'a' && letter < 'a' + config.unnamed) return config.names + letter - 'a';
    return -1;
}

static int client_of(char letter) {
    return letter >= '0' && letter < '0' + config.clients ? letter - '0' : -1;
}

static bool read_word(State *s, const char *word, u8 *kept, u8 *partial) {
    int c = client_of(word[0]), x = object_of(word[1]);
    if (word[0] == '~') {
        c = client_of(word[1]);
        if (c >= 0) s->client[c].alive = ASLEEP;
        return c >= 0;
    }
    if (x < config.names) return false;
    if (word[0] == '%')
        *partial |= bit(x);
    else if (word[0] == '@')
        s->mail[x] = s->server.until[x] = 1;
    else if (word[0] == '+')
        *kept |= bit(x);
    else if (c >= 0)
        s->client[c].holds |= bit(x);
    else if (object_of(word[0]) >= 0)
        s->server.inside[object_of(word[0])] |= bit(x);
    else
        return false;
    return true;
}

static void set_entries(State *s, u8 kept) {
    Server *server = &s->server;
    u8 left = (u8)(config.lease - 1);
    for (int c = 0; c < config.clients; c++) {
        Client *x = &s->client[c];
        x->due = x->holds;
        if (x->alive != LIVE) continue;
        u8 below = 0;
        for (int o = config.names; o < object_count(); o++) {
            if (!has(x->holds, o)) continue;
            server->until[o] = left;
            if (!has(kept, o)) below |= reached_from(server, server->inside[o]);
        }
        for (int o = config.names; o < object_count(); o++)
            if (has(below & ~kept, o)) server->until[o] = left;
    }
    for (int o = config.names; o < object_count(); o++)
        for (int y = config.names; y < object_count() && s->mail[o]; y++)
            if (has(reached_from(server, bit(o)) & ~kept, y) && !server->until[y]) server->until[y] = 1;
}

/* What one client alone has, it has made. Who has the rest is not counted. */
static void set_makers(State *s) {
    for (int x = config.names; x < object_count(); x++) {
        int holders = 0;
        bool is_inside = s->mail[x];
        for (int c = 0; c < config.clients; c++) holders += has(s->client[c].holds, x);
        for (int i = 0; i < object_count(); i++) is_inside |= has(s->server.inside[i], x);
        for (int c = 0; c < config.clients && holders == 1 && !is_inside; c++)
            s->client[c].counted |= s->client[c].holds & bit(x);
    }
}

bool add_start(const char *text) {
    State *s = &starts[start_count];
    u8 kept = 0, partial = 0;
    if (start_count == STARTS) return false;
    memset(s, 0, sizeof *s);
    for (int c = 0; c < config.clients; c++)
        s->client[c].alive = c < config.clients - config.unborn ? LIVE : UNBORN;
    for (; strlen(text) >= 2; text += text[2] ? 3 : 2)
        if (!read_word(s, text, &kept, &partial)) return false;
    if (*text) return false;
    Server *server = &s->server;
    for (int i = 0; i < config.names; i++) server->state[i] = WHOLE;
    kept = reached_from(server, kept | contents_of_names(server));
    u8 held = 0;
    for (int c = 0; c < config.clients; c++) held |= s->client[c].holds;
    for (int x = config.names; x < object_count(); x++)
        if (s->mail[x]) held |= bit(x);
    held = reached_from(server, held);
    for (int x = config.names; x < object_count(); x++) {
        if (has(kept, x)) server->state[x] = WHOLE, server->score[x] = 3;
        else if (has(held, x)) server->state[x] = LEASED;
    }
    for (int x = config.names; x < object_count(); x++)
        if (has(partial, x)) server->state[x] = PARTIAL, server->score[x] = 2;
    for (int i = 0; i < object_count(); i++) server->epoch[i] = server->swept[i] = 1;
    set_entries(s, kept | partial);
    set_makers(s);
    u8 named = reached_from(server, contents_of_names(server));
    for (int x = config.names; x < object_count(); x++)
        if (has((kept | partial) & ~named, x) && !server->until[x]) server->lapsed[x] = LAPSED;
    start_count++;
    return true;
}

State make_start(int i) {
    State s = starts[i];
    s.ops = (u8)config.ops;
    s.ticks = (u8)config.ticks;
    s.looks = (u8)config.looks;
    s.naps = (u8)config.naps;
    s.backs = (u8)config.backs;
    s.outages = (u8)config.outages;
    s.crashes = (u8)config.crashes;
    s.forgets = (u8)config.forgets;
    if (left_out[EPOCH_FORGOTTEN]) s.forgets = 1;
    make_canonical(&s);
    return s;
}
