/*
 * Deadlines of many connections for the price of a field: a timer wheel whose entries are looked at
 * when their slot comes up, so that moving a deadline later (what every request does) touches
 * nothing but the entry.
 *
 * Threads: one at a time; no shared state.
 */
#ifndef PROXY_WHEEL_H
#define PROXY_WHEEL_H

#include "gatehouse.h"

#define WHEEL_SLOTS 256

struct wheel_entry {
    struct wheel_entry *prev; /* NULL while not linked */
    struct wheel_entry *next;
    uint64_t deadline_ms; /* monotonic; 0: none */
    uint64_t linked_tick;
};

struct wheel {
    struct wheel_entry slots[WHEEL_SLOTS]; /* list heads */
    uint64_t tick;                         /* the last one run */
    unsigned tick_ms;
};

void wheel_init(struct wheel *wheel, unsigned tick_ms, uint64_t now_ms);
/* Set or move a deadline; 0 takes it away. The entry must stay where it is until removed. */
void wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t deadline_ms);
/* Unlink; needed before the entry's memory goes. */
void wheel_remove(struct wheel_entry *entry);
/*
 * Call EXPIRE for every entry whose deadline has passed; its deadline is gone by then. The callback
 * may set or remove any entry.
 */
void wheel_run(struct wheel *wheel, uint64_t now_ms,
               void (*expire)(struct wheel_entry *entry, void *arg), void *arg);

#endif
