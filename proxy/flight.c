#include "proxy/flight.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "metrics/lock.h"
#include "proxy/worker.h"

#define FLIGHT_BUCKETS 1024

struct flight_seat {
    struct worker_mail mail; /* first: mail is cast back */
    struct worker *worker;
    struct flight_seat *next; /* in the flight */
    flight_fn fn;
    void *ctx;
    struct flight_result *result;
    bool is_left; /* of the waiter's thread alone */
};

struct flight {
    struct flights *flights;
    struct flight *next; /* in its bucket */
    struct flight_seat *seats;
    uint64_t hash;
    struct bytes_buf key;
};

struct flights {
    struct lock lock;
    struct flight *buckets[FLIGHT_BUCKETS];
};

struct flight_result *flight_result_ref(struct flight_result *result)
{
    if (result != NULL) {
        (void)__atomic_add_fetch(&result->references, 1, __ATOMIC_RELAXED);
    }
    return result;
}

void flight_result_unref(struct flight_result *result)
{
    if (result != NULL && __atomic_sub_fetch(&result->references, 1, __ATOMIC_ACQ_REL) == 0) {
        result->destroy(result);
    }
}

bool flights_new(struct flights **out, struct gh_error *err)
{
    struct flights *flights = calloc(1, sizeof(*flights));

    if (flights == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for work under way");
    }
    lock_init(&flights->lock, GH_RANK_GATE);
    *out = flights;
    return true;
}

void flights_free(struct flights *flights)
{
    if (flights == NULL) {
        return;
    }
    lock_done(&flights->lock);
    free(flights);
}

static uint64_t flight_hash(struct bytes key)
{
    uint64_t hash = 14695981039346656037ull;

    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ key.data[i]) * 1099511628211ull;
    }
    return hash;
}

/* The flight of that name, made when there is none. */
static struct flight *flight_find(struct flights *flights, struct bytes key, bool *is_new)
{
    uint64_t hash = flight_hash(key);
    struct flight **bucket = &flights->buckets[hash % FLIGHT_BUCKETS];
    struct flight *flight;
    struct gh_error err = {0};

    *is_new = false;
    for (flight = *bucket; flight != NULL; flight = flight->next) {
        if (flight->hash == hash && bytes_equal(bytes_view(&flight->key), key)) {
            return flight;
        }
    }
    flight = calloc(1, sizeof(*flight));
    if (flight == NULL || !bytes_dup(key, &flight->key, &err)) {
        free(flight);
        return NULL;
    }
    flight->flights = flights;
    flight->hash = hash;
    flight->next = *bucket;
    *bucket = flight;
    *is_new = true;
    return flight;
}

static void flight_deliver(struct worker_mail *mail, struct worker *worker)
{
    struct flight_seat *seat = (struct flight_seat *)mail;

    if (!seat->is_left) {
        seat->fn(seat->ctx, seat->result);
    }
    flight_result_unref(seat->result);
    free(seat);
}

static void flight_drop(struct worker_mail *mail)
{
    struct flight_seat *seat = (struct flight_seat *)mail;

    flight_result_unref(seat->result);
    free(seat);
}

bool flight_join(struct flights *flights, struct bytes key, struct worker *worker, flight_fn fn,
                 void *ctx, struct flight_seat **seat, struct flight **lead, struct gh_error *err)
{
    struct flight_seat *made = calloc(1, sizeof(*made));
    struct flight *flight;
    bool is_new;

    if (made == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory to wait");
    }
    made->mail.run = flight_deliver;
    made->mail.drop = flight_drop;
    made->worker = worker;
    made->fn = fn;
    made->ctx = ctx;
    LOCK_HOLD(&flights->lock);
    flight = flight_find(flights, key, &is_new);
    if (flight == NULL) {
        free(made);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory to wait");
    }
    made->next = flight->seats;
    flight->seats = made;
    *seat = made;
    *lead = is_new ? flight : NULL;
    return true;
}

/* A seat that was left stays where it is until its mail comes: taking it out would race with
 * flight_finish() on another thread, and a flight always ends. */
void flight_leave(struct flight_seat *seat)
{
    if (seat != NULL) {
        seat->is_left = true;
    }
}

static void flight_unlink(struct flight *flight)
{
    struct flight **place = &flight->flights->buckets[flight->hash % FLIGHT_BUCKETS];

    while (*place != flight) {
        place = &(*place)->next;
    }
    *place = flight->next;
}

void flight_finish(struct flight *flight, struct flight_result *result)
{
    struct flight_seat *seat;

    lock_acquire(&flight->flights->lock);
    flight_unlink(flight);
    lock_release(&flight->flights->lock);
    for (seat = flight->seats; seat != NULL;) {
        struct flight_seat *next = seat->next;

        seat->result = flight_result_ref(result);
        worker_post(seat->worker, &seat->mail);
        seat = next;
    }
    flight_result_unref(result);
    bytes_buf_done(&flight->key);
    free(flight);
}
