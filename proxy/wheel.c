#include "proxy/wheel.h"

static void wheel_list_init(struct wheel_entry *head)
{
    head->prev = head;
    head->next = head;
}

static void wheel_link(struct wheel *wheel, struct wheel_entry *entry, uint64_t tick)
{
    struct wheel_entry *head = &wheel->slots[tick % WHEEL_SLOTS];

    entry->linked_tick = tick;
    entry->prev = head->prev;
    entry->next = head;
    head->prev->next = entry;
    head->prev = entry;
}

/* The tick a deadline is due at: never the one that runs now, never a whole turn ahead. */
static uint64_t wheel_tick_of(const struct wheel *wheel, uint64_t deadline_ms)
{
    uint64_t tick = deadline_ms / wheel->tick_ms + 1;

    tick = GH_MAX(tick, wheel->tick + 1);
    return GH_MIN(tick, wheel->tick + WHEEL_SLOTS - 1);
}

void wheel_init(struct wheel *wheel, unsigned tick_ms, uint64_t now_ms)
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++) {
        wheel_list_init(&wheel->slots[i]);
    }
    wheel->tick_ms = tick_ms;
    wheel->tick = now_ms / tick_ms;
}

void wheel_remove(struct wheel_entry *entry)
{
    if (entry->prev != NULL) {
        entry->prev->next = entry->next;
        entry->next->prev = entry->prev;
        entry->prev = NULL;
        entry->next = NULL;
    }
}

void wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t deadline_ms)
{
    uint64_t tick;

    entry->deadline_ms = deadline_ms;
    if (deadline_ms == 0) {
        return; /* its slot will drop it */
    }
    tick = wheel_tick_of(wheel, deadline_ms);
    if (entry->prev != NULL && entry->linked_tick <= tick) {
        return; /* its slot comes up early enough and will move it */
    }
    wheel_remove(entry);
    wheel_link(wheel, entry, tick);
}

static void wheel_run_slot(struct wheel *wheel, uint64_t now_ms,
                           void (*expire)(struct wheel_entry *entry, void *arg), void *arg)
{
    struct wheel_entry *head = &wheel->slots[wheel->tick % WHEEL_SLOTS];
    struct wheel_entry due;

    if (head->next == head) {
        return;
    }
    /* Taken off as a whole and popped one by one: the callback may remove the entry after. */
    due.next = head->next;
    due.prev = head->prev;
    due.next->prev = &due;
    due.prev->next = &due;
    wheel_list_init(head);
    while (due.next != &due) {
        struct wheel_entry *entry = due.next;

        wheel_remove(entry);
        if (entry->deadline_ms == 0) {
            continue;
        }
        if (entry->deadline_ms > now_ms) {
            wheel_link(wheel, entry, wheel_tick_of(wheel, entry->deadline_ms));
            continue;
        }
        entry->deadline_ms = 0;
        expire(entry, arg);
    }
}

void wheel_run(struct wheel *wheel, uint64_t now_ms,
               void (*expire)(struct wheel_entry *entry, void *arg), void *arg)
{
    uint64_t target = now_ms / wheel->tick_ms;

    if (target > wheel->tick + WHEEL_SLOTS) {
        wheel->tick = target - WHEEL_SLOTS; /* one turn visits every slot */
    }
    while (wheel->tick < target) {
        wheel->tick++;
        wheel_run_slot(wheel, now_ms, expire, arg);
    }
}
