#include "proxy/fill.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/fill_state.h"

/* --- the set --- */

bool fill_set_new(struct blob_store *blobs, struct helper_pool *helpers, struct fill_set **out,
                  struct gh_error *err)
{
    struct fill_set *set = calloc(1, sizeof(*set));

    if (set == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for fills");
    }
    lock_init(&set->lock, GH_RANK_FILL);
    set->blobs = blobs;
    set->helpers = helpers;
    for (size_t i = 0; i < FILL_BUCKETS; i++) {
        LIST_INIT(&set->buckets[i]);
    }
    *out = set;
    return true;
}

void fill_set_free(struct fill_set *set)
{
    if (set == NULL) {
        return;
    }
    while (set->idle != NULL) {
        struct fill_block *block = set->idle;

        set->idle = block->next;
        free(block);
    }
    lock_done(&set->lock);
    free(set);
}

size_t fill_set_count(struct fill_set *set)
{
    LOCK_HOLD(&set->lock);

    return set->count;
}

struct fill_block *fill_block_take(struct fill_set *set)
{
    struct fill_block *block;

    lock_acquire(&set->lock);
    block = set->idle;
    if (block != NULL) {
        set->idle = block->next;
        set->idle_count--;
    }
    lock_release(&set->lock);
    if (block == NULL) {
        block = malloc(sizeof(*block));
    }
    if (block != NULL) {
        block->len = 0;
        block->is_written = false;
        block->is_hashed = false;
        block->next = NULL;
    }
    return block;
}

void fill_block_give(struct fill_set *set, struct fill_block *block)
{
    if (set->idle_count == FILL_MAX_IDLE_BLOCKS) {
        free(block);
        return;
    }
    block->next = set->idle;
    set->idle = block;
    set->idle_count++;
}

/* --- one fill --- */

void fill_wake(struct fill *fill)
{
    uint64_t workers = atomic_load(&fill->workers);

    for (unsigned i = 0; workers != 0; i++, workers >>= 1) {
        struct fill_worker *worker = (workers & 1) != 0 ? fill->set->workers[i] : NULL;

        if (worker != NULL && !atomic_exchange(&worker->is_dirty, true)) {
            worker_post(worker->worker, &worker->mail);
        }
    }
}

static void fill_free(struct fill *fill)
{
    int fd = atomic_load(&fill->fd);

    if (fd >= 0) {
        (void)close(fd);
    }
    digest_stream_free(fill->hash);
    upstream_unref(fill->upstream);
    free(fill->scope);
    free(fill->repository);
    free(fill);
}

void fill_unref(struct fill *fill)
{
    if (atomic_fetch_sub(&fill->references, 1) == 1) {
        fill_free(fill);
    }
}

void fill_unlist(struct fill *fill)
{
    if (fill->is_listed) {
        fill->is_listed = false;
        LIST_REMOVE(fill, bucket_link);
        fill->set->count--;
        /* Not the last: whoever unlists holds a reference of its own. */
        atomic_fetch_sub(&fill->references, 1);
    }
}

void fill_end(struct fill *fill, int outcome, const struct gh_error *error)
{
    bool has_failed = fill->is_ended && fill->error.cause != GH_CAUSE_NONE;

    fill->is_ended = true;
    if (error != NULL && !has_failed) {
        fill->error = *error;
        fill->outcome = outcome;
    }
}

static struct fill *fill_find(struct fill_set *set, const struct fill_ask *ask)
{
    struct fill *fill;

    LIST_FOREACH(fill, &set->buckets[ask->digest.value[0]], bucket_link)
    {
        if (digest_equal(&fill->digest, &ask->digest) && strcmp(fill->scope, ask->scope) == 0) {
            return fill;
        }
    }
    return NULL;
}

static struct fill *fill_new(struct fill_worker *owner, const struct fill_ask *ask)
{
    struct fill *fill = calloc(1, sizeof(*fill));

    if (fill == NULL) {
        return NULL;
    }
    fill->set = owner->set;
    fill->scope = strdup(ask->scope);
    fill->repository = strdup(ask->repository);
    fill->digest = ask->digest;
    fill->expected_size = ask->size;
    fill->upstream = upstream_ref(ask->upstream);
    fill->last = &fill->first;
    atomic_init(&fill->references, 1);
    atomic_init(&fill->state, FILL_STARTING);
    atomic_init(&fill->available, 0);
    atomic_init(&fill->size, -1);
    atomic_init(&fill->fd, -1);
    atomic_init(&fill->workers, (uint64_t)1 << owner->index);
    if (fill->scope == NULL || fill->repository == NULL || strlen(ask->repository) > 512) {
        fill_free(fill);
        return NULL;
    }
    return fill;
}

/* Put it into the table and begin. The lock is held; false: *err, and nothing is left of it. */
static bool fill_begin(struct fill_worker *owner, struct fill *fill, struct blob_file *unchecked,
                       struct gh_error *err)
{
    struct fill_set *set = owner->set;

    fill->owner = owner;
    fill->unchecked = unchecked;
    if (unchecked == NULL && !fill_transfer_start(fill, err)) {
        if (fill->timer != NULL) {
            event_free(fill->timer);
        }
        fill_free(fill);
        return false;
    }
    TAILQ_INSERT_TAIL(&owner->owned, fill, owner_link);
    LIST_INSERT_HEAD(&set->buckets[fill->digest.value[0]], fill, bucket_link);
    fill->is_listed = true;
    set->count++;
    atomic_fetch_add(&fill->references, 1); /* the table's; the first one is the owner's */
    if (unchecked != NULL) {
        fill_strand_kick(fill);
    }
    return true;
}

/* --- workers --- */

static void worker_tell_readers(struct fill_worker *worker)
{
    worker->cursor = TAILQ_FIRST(&worker->readers);
    while (worker->cursor != NULL) {
        struct fill_reader *reader = worker->cursor;
        int state = atomic_load(&reader->fill->state);
        uint64_t available = atomic_load(&reader->fill->available);

        worker->cursor = TAILQ_NEXT(reader, link);
        if (state != reader->seen_state || available != reader->seen_available) {
            reader->seen_state = state;
            reader->seen_available = available;
            reader->on_change(reader->ctx); /* may leave, this reader or the next one */
        }
    }
}

static void worker_on_mail(struct worker_mail *mail, struct worker *worker)
{
    struct fill_worker *self =
        (struct fill_worker *)((char *)mail - offsetof(struct fill_worker, mail));
    struct fill *fill = TAILQ_FIRST(&self->owned);

    /* First, so that what changes from here on sends mail again. */
    atomic_store(&self->is_dirty, false);
    while (fill != NULL) {
        struct fill *next = TAILQ_NEXT(fill, owner_link);

        fill_transfer_look(fill);
        fill = next;
    }
    worker_tell_readers(self);
}

static void worker_on_drop(struct worker_mail *mail)
{
    free((char *)mail - offsetof(struct fill_worker, mail));
}

bool fill_worker_new(struct fill_set *set, struct worker *worker, struct upstream_client *client,
                     struct fill_worker **out, struct gh_error *err)
{
    struct fill_worker *self = calloc(1, sizeof(*self));
    LOCK_HOLD(&set->lock);

    if (self == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for fills");
    }
    while (self->index < FILL_MAX_WORKERS && set->workers[self->index] != NULL) {
        self->index++;
    }
    if (self->index == FILL_MAX_WORKERS) {
        free(self);
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d workers", FILL_MAX_WORKERS);
    }
    self->set = set;
    self->worker = worker;
    self->client = client;
    self->mail.run = worker_on_mail;
    self->mail.drop = worker_on_drop;
    TAILQ_INIT(&self->readers);
    TAILQ_INIT(&self->owned);
    set->workers[self->index] = self;
    *out = self;
    return true;
}

void fill_worker_free(void *fill_worker)
{
    struct fill_worker *self = fill_worker;
    struct gh_error error = {0};
    struct fill_reader *reader;

    if (self == NULL) {
        return;
    }
    (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE, "the gateway is stopping");
    while (!TAILQ_EMPTY(&self->owned)) {
        fill_transfer_end(TAILQ_FIRST(&self->owned), UPSTREAM_UNAVAILABLE, &error);
    }
    while ((reader = TAILQ_FIRST(&self->readers)) != NULL) {
        TAILQ_REMOVE(&self->readers, reader, link);
        reader->worker = NULL; /* its holder still leaves */
    }
    lock_acquire(&self->set->lock);
    self->set->workers[self->index] = NULL;
    lock_release(&self->set->lock);
    /* Mail under way is dropped by the worker afterwards, and frees it there. */
    if (!atomic_load(&self->is_dirty)) {
        free(self);
    }
}

/* --- readers --- */

static struct fill_reader *reader_new(struct fill_worker *worker, struct fill *fill,
                                      void (*on_change)(void *ctx), void *ctx)
{
    struct fill_reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL) {
        return NULL;
    }
    reader->worker = worker;
    reader->fill = fill;
    reader->on_change = on_change;
    reader->ctx = ctx;
    reader->seen_state = -1; /* whatever it is now has not been told */
    atomic_fetch_add(&fill->references, 1);
    atomic_fetch_or(&fill->workers, (uint64_t)1 << worker->index);
    TAILQ_INSERT_TAIL(&worker->readers, reader, link);
    return reader;
}

enum fill_answer fill_join(struct fill_worker *fill_worker, const struct fill_ask *ask,
                           void (*on_change)(void *ctx), void *ctx, struct fill_reader **reader,
                           struct blob_file **file, struct gh_error *err)
{
    struct fill_set *set = fill_worker->set;
    struct blob_file *there = NULL;
    struct fill *fill;
    LOCK_HOLD(&set->lock);

    fill = fill_find(set, ask);
    if (fill == NULL) {
        /* Asked again under the lock: it may have been published since the caller looked. */
        enum blob_found found = blob_open(set->blobs, &ask->digest, time(NULL), &there);

        if (found == BLOB_READY) {
            *file = there;
            return FILL_CACHED;
        }
        fill = fill_new(fill_worker, ask);
        if (fill == NULL || !fill_begin(fill_worker, fill, there, err)) {
            if (there != NULL) {
                blob_file_unref(set->blobs, there);
            }
            (void)gh_fail(err, GH_INTERNAL_ERROR, "no memory for a fill");
            return FILL_REFUSED;
        }
    }
    *reader = reader_new(fill_worker, fill, on_change, ctx);
    if (*reader == NULL) {
        (void)gh_fail(err, GH_INTERNAL_ERROR, "no memory for a fill");
        return FILL_REFUSED;
    }
    /* One look is owed even if nothing changes any more. */
    if (!atomic_exchange(&fill_worker->is_dirty, true)) {
        worker_post(fill_worker->worker, &fill_worker->mail);
    }
    return FILL_JOINED;
}

void fill_view(struct fill_reader *reader, struct fill_view *out)
{
    struct fill *fill = reader->fill;

    memset(out, 0, sizeof(*out));
    out->state = (enum fill_state)atomic_load(&fill->state);
    out->size = atomic_load(&fill->size);
    out->available = atomic_load(&fill->available);
    out->fd = atomic_load(&fill->fd);
    if (out->state == FILL_FAILED) {
        LOCK_HOLD(&fill->set->lock);
        out->outcome = fill->outcome;
        out->error = fill->error;
    }
}

void fill_leave(struct fill_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    if (reader->worker != NULL) {
        if (reader->worker->cursor == reader) {
            reader->worker->cursor = TAILQ_NEXT(reader, link);
        }
        TAILQ_REMOVE(&reader->worker->readers, reader, link);
    }
    fill_unref(reader->fill);
    free(reader);
}
