/* What the server does: commands of requests, and the scripts that look for the dead. */
#include <string.h>

#include "state.h"

/* Something is written: it is lost if the server goes back to what was saved. */
void changes(State *s) {
    if (s->has_saved) s->unsaved++;
}

static Request *request_of(State *s, int entry) {
    Client *x = &s->client[entry >> 1];
    return entry & 1 ? &x->late : &x->request;
}

/* BLMOVE: who is blocked is served in the order of arrival. */
void serve_waiters(State *s) {
    while (s->data.free && s->waiting) {
        int entry = s->queue[0];
        memmove(s->queue, s->queue + 1, --s->waiting);
        s->queue[s->waiting] = 0;
        Request *r = request_of(s, entry);
        s->data.free--;
        s->data.at[entry >> 1][r->place]++;
        r->moved = 1;
        r->stage = MOVED;
    }
}

void leave_queue(State *s, int entry) {
    for (int i = 0; i < s->waiting; i++)
        if (s->queue[i] == entry) {
            memmove(s->queue + i, s->queue + i + 1, s->waiting - i - 1);
            s->queue[--s->waiting] = 0;
            i--;
        }
}

/* LMOVE place free, once for each element. */
void empty_place(State *s, int c, int place) {
    if (!s->data.at[c][place]) return;
    s->data.free += s->data.at[c][place];
    s->data.at[c][place] = 0;
    serve_waiters(s);
}

/* take: BLMOVE; HINCRBY of the token; EXISTS of the record and of the registration. The order of
 * these is rule H4. Each is a step: anything may come between. */
static void execute_take(State *s, int c, bool late, Request *r) {
    Data *d = &s->data;
    int name = s->client[c].name_of[r->place];
    bool stands = d->record[c][name] && d->registered[c][name];
    if (r->stage == ON_ITS_WAY) {
        if (left_out[ASKED_BEFORE_MOVE]) r->granted = stands;
        if (d->free) {
            d->free--;
            d->at[c][r->place]++;
            r->moved = 1;
            r->stage = MOVED;
        } else {
            s->queue[s->waiting++] = c * 2 + late;
            r->stage = BLOCKED;
        }
    } else if (r->stage == MOVED) {
        if (left_out[ASKED_BEFORE_TOKEN])
            r->granted = stands;
        else
            r->token = ++d->token;
        r->stage = DRAWN;
    } else {
        if (left_out[ASKED_BEFORE_TOKEN])
            r->token = ++d->token;
        else if (left_out[NOT_ASKED])
            r->granted = 1;
        else if (!left_out[ASKED_BEFORE_MOVE])
            r->granted = d->record[c][name] &&
                         (d->registered[c][name] || left_out[REGISTRATION_NOT_ASKED]);
        r->stage = ANSWERED;
    }
}

/* release by another: one script with a request number, which moves one element to free. */
static void execute_free_other(State *s, int c, Request *r) {
    Data *d = &s->data;
    if (d->reply_cache[c] >= r->number && !left_out[UNRECORDED]) return;
    int holder = -1, place = 0;
    for (int o = 0; o < config.clients && holder < 0; o++)
        for (int p = 0; p < PLACES; p++)
            if (d->at[o][p]) {
                holder = o;
                place = p;
                break;
            }
    if (holder >= 0) {
        Client *x = &s->client[holder];
        if (d->executed[c] == r->number) s->wrong = FREED_TWICE;
        d->executed[c] = r->number;
        if (x->doing == HOLDING && x->place == place) x->freed = 1;
        if (x->doing == TAKING && x->request.moved && x->request.place == place) x->freed = 1;
        d->at[holder][place]--;
        d->free++;
        serve_waiters(s);
    }
    d->reply_cache[c] = r->number;
}

/* The next command of a request; false if there is none. */
bool execute(State *s, int c, bool late) {
    Client *x = &s->client[c];
    Request *r = late ? &x->late : &x->request;
    if (!s->up || r->kind == NO_REQUEST || r->stage == BLOCKED || r->stage == ANSWERED)
        return false;
    changes(s);
    if (r->kind == TAKE) {
        execute_take(s, c, late, r);
    } else if (r->kind == GIVE_BACK) {
        if (left_out[PUSHED_BACK]) {
            s->data.at[c][r->place] = 0;
            s->data.free++;
            serve_waiters(s);
        } else
            empty_place(s, c, r->place);
        r->stage = ANSWERED;
    } else {
        execute_free_other(s, c, r);
        r->stage = ANSWERED;
    }
    if (late && r->stage == ANSWERED) *r = (Request){0};
    return true;
}

/* Is any connection of the session in CLIENT LIST? */
bool is_listed(const State *s, int c) {
    const Client *x = &s->client[c];
    return (x->alive && (x->background || x->caller)) || x->old_background || x->old_caller;
}

/* The same as a looker sees it: all connections of a record are evidence, not one. */
bool is_present(const State *s, int c) {
    const Client *x = &s->client[c];
    if (left_out[BACKGROUND_ONLY]) return (x->alive && x->background) || x->old_background;
    return is_listed(s, c);
}

bool are_siblings(int a, int b) {
    return a != b && (config.siblings >> a & 1) && (config.siblings >> b & 1);
}

/* DEL of a record. S5: that of a living session goes only after the lease or the grace. Where
 * evidence may be false (assume=0) the session is robbed instead, and cannot know it yet. */
void remove_record(State *s, int c, int name) {
    Client *x = &s->client[c];
    if (s->data.record[c][name] && x->alive && x->name == name) {
        if (config.assume && x->silent < config.L && x->away < config.G) s->wrong = LIVING_REMOVED;
        bool told = x->request.stage == ANSWERED ||
                    (left_out[ASKED_BEFORE_TOKEN] && x->request.granted);
        bool is_given = x->request.kind == TAKE && x->request.moved && told;
        if (!config.assume && (x->doing == HOLDING || is_given)) x->robbed = 1;
    }
    s->data.record[c][name] = 0;
}

/* enter and settle: DEL of the records of former names, which a step back may have brought back. */
void remove_former_names(State *s, int c) {
    if (left_out[FORMER_NAMES]) return;
    for (int name = 0; name < s->client[c].name; name++) s->data.record[c][name] = 0;
}

/* enter and settle: the token continues above everything handed out in earlier runs. */
void lift_token(State *s) {
    if (s->data.token < TOKENS_OF_A_RUN * s->run && !left_out[NOT_LIFTED])
        s->data.token = TOKENS_OF_A_RUN * s->run;
}

/* look, its script: what sessions without a record had is free; the registration stays as a
 * tombstone while anything may still arrive from them. */
void sweep(State *s) {
    Data *d = &s->data;
    for (int c = 0; c < config.clients; c++)
        for (int name = 0; name < NAMES; name++)
            if (d->registered[c][name] && !d->record[c][name]) {
                for (int p = 0; p < s->client[c].places; p++)
                    if (s->client[c].name_of[p] == name) empty_place(s, c, p);
                if (left_out[NO_TOMBSTONE] || !is_listed(s, c)) d->registered[c][name] = 0;
            }
    if (left_out[RECOUNTED]) {
        int sum = d->free;
        for (int c = 0; c < config.clients; c++)
            for (int p = 0; p < s->client[c].places; p++)
                if (d->registered[c][s->client[c].name_of[p]]) sum += d->at[c][p];
        if (sum < config.n) {
            d->free += config.n - sum;
            serve_waiters(s);
        }
    }
}
