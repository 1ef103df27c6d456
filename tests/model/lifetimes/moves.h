/* What may happen in a state. */
#ifndef MOVES_H
#define MOVES_H

#include "state.h"

enum { OPERATION, REQUEST, RENEWAL, LET_GO, LOOK, FAULT, TICK };
enum { MOVES = 512 };

typedef struct {
    u8 kind, who, what, a, x;
} Move;

int find_moves(const State *s, Move *found);
/* False: this one is not explored, more would be lost than a crash may undo. */
bool make_move(State *s, Move m);
void print_move(const State *s, Move m);
void print_state(const State *s);

#endif
