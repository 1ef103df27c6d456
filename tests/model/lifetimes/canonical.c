/* States that go on alike are made equal: what has no meaning any more is cleared, what is only
 * compared is numbered anew. */
#include <string.h>

#include "state.h"

size_t state_size(void) {
    return config.crashes ? sizeof(State) : offsetof(State, saved);
}

static void limit(u8 *value, int most) {
    if (*value > most) *value = (u8)most;
}

/* What is longer than the rest of time never ends. */
static void limit_times(State *s) {
    if (left_out[TRIM_BY_BEGIN]) return;
    int most = s->ticks + 1;
    for (int x = config.names; x < object_count(); x++) {
        limit(&s->server.until[x], most);
        limit(&s->mail[x], most);
        for (int i = 0; i < object_count(); i++)
            if (s->server.cut[i][x] < LAPSED) limit(&s->server.cut[i][x], most);
    }
    limit(&s->young, most);
}

static void visit_lapsed(Server *s, void (*visit)(u8 *, int *), int *with) {
    for (int i = 0; i < object_count(); i++) {
        if (s->lapsed[i] >= LAPSED) visit(&s->lapsed[i], with);
        for (int x = config.names; x < object_count(); x++)
            if (s->cut[i][x] >= LAPSED) visit(&s->cut[i][x], with);
    }
}

static void find_oldest(u8 *entry, int *oldest) {
    if (*entry - LAPSED + 1 > *oldest) *oldest = *entry - LAPSED + 1;
}

static void limit_age(u8 *entry, int *oldest) {
    limit(entry, LAPSED + *oldest);
}

static void forget_entry(u8 *entry, int *unused) {
    (void)unused;
    *entry = 0;
}

/* Of entries that lapsed it matters only whether that was before a look began. */
static void limit_ages(State *s) {
    if (!config.reasons) visit_lapsed(&s->server, forget_entry, NULL);
    int oldest = 0, look = 0;
    visit_lapsed(&s->server, find_oldest, &oldest);
    for (int k = 0; k < config.collectors; k++) {
        Look *l = &s->look[k];
        if (!left_out[TRIM_BY_BEGIN] && l->age > oldest) l->age = (i8)oldest;
        if (l->age > look) look = l->age;
    }
    visit_lapsed(&s->server, limit_age, &look);
}

static void clear_server(Server *s) {
    for (int i = 0; i < object_count(); i++) {
        if (is_void(s, i)) s->epoch[i] = s->settled[i] = s->swept[i] = 0;
        if (!is_kept(s, i))
            s->score[i] = 0;
        else if (!config.forgets && s->score[i] < 2 * s->epoch[i])
            s->score[i] = 1;
    }
}

/* A look is under way, or ended behind a settling. */
static bool may_refuse(const State *s) {
    for (int k = 0; k < config.collectors; k++)
        if (s->look[k].stage != REST) return true;
    for (int o = config.names; o < object_count(); o++)
        if (is_lost(&s->server, o)) return true;
    return false;
}

static void clear_client(State *s, int c) {
    Client *x = &s->client[c];
    for (int o = config.names; o < object_count(); o++) {
        if (s->server.state[o] == LEASED || (s->has_saved && s->saved.state[o] == LEASED)) continue;
        x->going &= ~bit(o);
        x->counted &= ~bit(o);
        x->gifts[o] = 0;
        memset(x->owed[o], 0, sizeof x->owed[o]);
    }
    if (x->woken && !may_refuse(s)) x->woken = 0;
    if (!s->ops && !x->going) {
        x->counted = 0;
        memset(x->gifts, 0, sizeof x->gifts);
        memset(x->owed, 0, sizeof x->owed);
    }
    if (!s->ticks) x->due = x->below = x->seen = 0;
    if (x->op.request > KEEP) x->op.want = 0;
}

/* -- epochs */

typedef void Renumber(u8 *epoch, u8 *table);

static void each_epoch_of(Server *s, Renumber *visit, u8 *table) {
    for (int i = 0; i < object_count(); i++) {
        if (s->epoch[i]) visit(&s->epoch[i], table);
        if (s->score[i] < 2) continue;
        u8 epoch = s->score[i] / 2, black = s->score[i] & 1;
        visit(&epoch, table);
        s->score[i] = 2 * epoch + black;
    }
}

static void each_epoch(State *s, Renumber *visit, u8 *table) {
    each_epoch_of(&s->server, visit, table);
    if (s->has_saved) each_epoch_of(&s->saved, visit, table);
    for (int c = 0; c < config.clients; c++) {
        Op *op = &s->client[c].op;
        if (op->stamp) visit(&op->stamp, table);
        if (op->want) visit(&op->want, table);
    }
    for (int k = 0; k < config.collectors; k++)
        if (s->look[k].stage != REST) visit(&s->look[k].epoch, table);
}

static void note(u8 *epoch, u8 *table) {
    table[*epoch] = 1;
}

static void replace(u8 *epoch, u8 *table) {
    *epoch = table[*epoch];
}

static void renumber_epochs(State *s) {
    u8 table[128] = {0}, next = 0;
    each_epoch(s, note, table);
    for (int e = 1; e < 128; e++)
        if (table[e]) table[e] = ++next;
    each_epoch(s, replace, table);
}

/* -- symmetry */

static void swap_bytes(void *a, void *b, size_t size) {
    u8 copy[sizeof(Client) + sizeof(Look)];
    memcpy(copy, a, size);
    memcpy(a, b, size);
    memcpy(b, copy, size);
}

static void swap_givers(Server *s, int c, int d) {
    for (int x = config.names; x < object_count(); x++)
        swap_bytes(&s->given[x][c], &s->given[x][d], 1);
}

static void swap_clients(State *s, int c, int d) {
    swap_bytes(&s->client[c], &s->client[d], sizeof(Client));
    swap_givers(&s->server, c, d);
    if (s->has_saved) swap_givers(&s->saved, c, d);
    for (int x = config.names; x < object_count(); x++) {
        for (int k = 0; k < config.clients; k++)
            swap_bytes(&s->client[k].owed[x][c], &s->client[k].owed[x][d], 1);
        if (s->from[x] == c + 1 || s->from[x] == d + 1) s->from[x] = (u8)(c + d + 2 - s->from[x]);
    }
}

static int compare_clients(const State *s, int c, int d) {
    int found = memcmp(&s->client[c], &s->client[d], sizeof(Client));
    for (int x = config.names; x < object_count() && !found; x++)
        found = s->server.given[x][c] - s->server.given[x][d];
    return found;
}

static void sort(State *s) {
    for (int pass = 1; pass < config.clients; pass++)
        for (int c = 0; c + 1 < config.clients; c++) {
            if (compare_clients(s, c, c + 1) >= 0) continue;
            swap_clients(s, c, c + 1);
        }
    if (memcmp(&s->look[0], &s->look[1], sizeof(Look)) < 0)
        swap_bytes(&s->look[0], &s->look[1], sizeof(Look));
}

void make_canonical(State *s) {
    if (!s->has_saved && config.crashes) memset(&s->saved, 0, sizeof s->saved);
    limit_times(s);
    limit_ages(s);
    for (int k = 0; k < config.collectors; k++) end_phases(s, &s->look[k]);
    clear_server(&s->server);
    if (s->has_saved) clear_server(&s->saved);
    for (int c = 0; c < config.clients; c++) clear_client(s, c);
    renumber_epochs(s);
    if (config.symmetry) sort(s);
}
