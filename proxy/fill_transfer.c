/*
 * The owner's side of a fill: the transfer from the registry, in blocks for the strand, resumed by
 * Range where it breaks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/fill_state.h"

static void transfer_arm(struct fill *fill, int64_t wait_ms)
{
    struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};

    (void)event_add(fill->timer, &wait);
}

/* Hand the block under way to the strand. */
static void transfer_push(struct fill *fill)
{
    struct fill_block *block = GH_TAKE(fill->block);
    LOCK_HOLD(&fill->set->lock);

    if (block == NULL || block->len == 0 || fill->is_over) {
        if (block != NULL) {
            fill_block_give(fill->set, block);
        }
        return;
    }
    block->next = NULL;
    *fill->last = block;
    fill->last = &block->next;
    fill->to_write = fill->to_write != NULL ? fill->to_write : block;
    fill->to_hash = fill->to_hash != NULL ? fill->to_hash : block;
    fill->queued_bytes += block->len;
    fill->is_paused = fill->queued_bytes >= FILL_QUEUE_BYTES;
    fill_strand_kick(fill);
}

void fill_transfer_end(struct fill *fill, int outcome, const struct gh_error *error)
{
    struct fill_worker *owner = fill->owner;

    if (owner == NULL) {
        return;
    }
    upstream_cancel(GH_TAKE(fill->request));
    if (error == NULL) {
        transfer_push(fill);
    }
    if (fill->timer != NULL) {
        event_free(GH_TAKE(fill->timer));
    }
    TAILQ_REMOVE(&owner->owned, fill, owner_link);
    fill->owner = NULL;
    lock_acquire(&fill->set->lock);
    if (fill->block != NULL) {
        fill_block_give(fill->set, GH_TAKE(fill->block));
    }
    if (!fill->is_over) {
        fill_end(fill, outcome, error);
        fill_strand_kick(fill);
    }
    lock_release(&fill->set->lock);
    fill_unref(fill);
}

/* Noted here, ended in on_done: the request ends itself when its head or body is not wanted. */
static bool transfer_note(struct fill *fill, const struct gh_error *error)
{
    LOCK_HOLD(&fill->set->lock);

    fill->error = *error;
    return false;
}

static bool transfer_begin_file(struct fill *fill, const struct upstream_head *head)
{
    int64_t size = head->content_length;
    struct gh_error error = {0};
    int fd;

    if (size >= 0 && fill->expected_size >= 0 && size != fill->expected_size) {
        (void)gh_fail(&error, GH_DIGEST_MISMATCH,
                      "the manifest says %lld bytes, the registry has %lld",
                      (long long)fill->expected_size, (long long)size);
        return transfer_note(fill, &error);
    }
    if (size < 0) {
        size = fill->expected_size;
    }
    if (!blob_stage_new(fill->set->blobs, size > 0 ? (uint64_t)size : 0, &fill->stage, &error)) {
        return transfer_note(fill, &error);
    }
    fd = dup(fill->stage->fd);
    if (fd < 0) {
        (void)gh_fail(&error, GH_INTERNAL_ERROR, "no descriptor for a fill");
        return transfer_note(fill, &error);
    }
    lock_acquire(&fill->set->lock);
    atomic_store(&fill->fd, fd);
    atomic_store(&fill->size, size);
    atomic_store(&fill->state, FILL_RUNNING);
    fill_wake(fill);
    lock_release(&fill->set->lock);
    return true;
}

/* The total of "bytes 5-9/10", -1 where it does not say. */
static int64_t transfer_range_total(const struct upstream_head *head)
{
    const char *range = upstream_head_get(head, UPSTREAM_CONTENT_RANGE);
    const char *slash = range != NULL ? strchr(range, '/') : NULL;
    char *end = NULL;
    long long total;

    if (slash == NULL || slash[1] < '0' || slash[1] > '9') {
        return -1;
    }
    total = strtoll(slash + 1, &end, 10);
    return *end == '\0' ? total : -1;
}

static bool transfer_on_head(void *ctx, const struct upstream_head *head)
{
    struct fill *fill = ctx;
    int64_t size = atomic_load(&fill->size);
    int64_t total = head->status == 206 ? transfer_range_total(head) : head->content_length;
    struct gh_error error = {0};

    fill->skip_bytes = 0;
    if (fill->stage == NULL) {
        return transfer_begin_file(fill, head);
    }
    if (size >= 0 && total >= 0 && total != size) {
        (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE,
                      "a broken transfer of %lld bytes goes on as one of %lld", (long long)size,
                      (long long)total);
        return transfer_note(fill, &error);
    }
    if (head->status == 200) {
        fill->skip_bytes = fill->received_bytes; /* a registry without Range sends it all again */
    }
    return true;
}

static enum upstream_take transfer_on_data(void *ctx, struct bytes data)
{
    struct fill *fill = ctx;
    int64_t size = atomic_load(&fill->size);
    size_t skip = (size_t)GH_MIN(fill->skip_bytes, (uint64_t)data.len);
    struct gh_error error = {0};

    fill->skip_bytes -= skip;
    data = bytes_slice(data, skip, data.len);
    if (size >= 0 && data.len > (uint64_t)size - fill->received_bytes) {
        (void)gh_fail(&error, GH_DIGEST_MISMATCH, "more than the announced %lld bytes came",
                      (long long)size);
        (void)transfer_note(fill, &error);
        return UPSTREAM_TAKE_STOP;
    }
    while (data.len > 0) {
        size_t room;
        size_t part;

        if (fill->block == NULL) {
            fill->block = fill_block_take(fill->set);
        }
        if (fill->block == NULL) {
            (void)gh_fail(&error, GH_INTERNAL_ERROR, "no memory for a fill");
            (void)transfer_note(fill, &error);
            return UPSTREAM_TAKE_STOP;
        }
        room = FILL_BLOCK_BYTES - fill->block->len;
        part = GH_MIN(room, data.len);
        memcpy(fill->block->data + fill->block->len, data.data, part);
        fill->block->len += part;
        fill->received_bytes += part;
        data = bytes_slice(data, part, data.len);
        if (fill->block->len == FILL_BLOCK_BYTES) {
            fill->has_data_waiting = false;
            transfer_push(fill);
        }
    }
    return fill->is_paused ? UPSTREAM_TAKE_PAUSE : UPSTREAM_TAKE_MORE;
}

/* An answer that is whole by its own account but brought less than the blob has. */
static bool transfer_is_short(const struct fill *fill, const struct upstream_result *result)
{
    int64_t size = atomic_load(&fill->size);

    return result->outcome == UPSTREAM_OK && size >= 0 && fill->received_bytes < (uint64_t)size;
}

static bool transfer_may_resume(struct fill *fill, const struct upstream_result *result)
{
    bool is_worth_it = result->is_retryable || transfer_is_short(fill, result);

    if (!is_worth_it || fill->stage == NULL || fill->resumes >= FILL_MAX_RESUMES) {
        return false;
    }
    fill->idle_resumes =
        fill->received_bytes > fill->received_at_resume ? 0 : fill->idle_resumes + 1;
    fill->received_at_resume = fill->received_bytes;
    return fill->idle_resumes <= FILL_MAX_IDLE_RESUMES;
}

static void transfer_on_done(void *ctx, struct upstream_result *result)
{
    struct fill *fill = ctx;
    struct gh_error error;

    fill->request = NULL;
    lock_acquire(&fill->set->lock);
    error = fill->error; /* noted when the head or body was refused */
    lock_release(&fill->set->lock);
    if (error.cause != GH_CAUSE_NONE) {
        fill_transfer_end(fill, UPSTREAM_UNAVAILABLE, &error);
    } else if (result->outcome == UPSTREAM_OK && !transfer_is_short(fill, result)) {
        fill_transfer_end(fill, UPSTREAM_OK, NULL);
    } else if (transfer_may_resume(fill, result)) {
        fill->resumes++;
        fill->is_resume_due = true;
        transfer_arm(fill, FILL_RESUME_BASE_MS << GH_MIN(fill->idle_resumes, 5u));
    } else {
        (void)gh_fail(&result->error, GH_UPSTREAM_UNAVAILABLE, "%s sends less than the whole blob",
                      upstream_name(fill->upstream));
        fill_transfer_end(
            fill, result->outcome == UPSTREAM_OK ? UPSTREAM_UNAVAILABLE : (int)result->outcome,
            &result->error);
    }
}

static void transfer_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct fill *fill = arg;
    struct gh_error error = {0};

    if (fill->is_resume_due) {
        fill->is_resume_due = false;
        if (!fill_transfer_start(fill, &error)) {
            fill_transfer_end(fill, UPSTREAM_FAILED, &error);
        }
        return;
    }
    /* A whole period with bytes that did not fill a block: a slow registry. */
    if (fill->block != NULL && fill->has_data_waiting) {
        transfer_push(fill);
    }
    fill->has_data_waiting = fill->block != NULL;
    transfer_arm(fill, FILL_FLUSH_MS);
}

bool fill_transfer_start(struct fill *fill, struct gh_error *err)
{
    struct upstream_sink sink = {.ctx = fill,
                                 .on_head = transfer_on_head,
                                 .on_data = transfer_on_data,
                                 .on_done = transfer_on_done};
    struct upstream_ask ask = {.upstream = fill->upstream,
                               .repository = fill->repository,
                               .range_first = fill->received_bytes};
    char digest[DIGEST_MAX_TEXT];
    char path[1024];

    if (fill->timer == NULL) {
        fill->timer =
            evtimer_new(upstream_client_base(fill->owner->client), transfer_on_timer, fill);
    }
    if (fill->timer == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a fill");
    }
    digest_format(&fill->digest, digest);
    (void)snprintf(path, sizeof(path), "/v2/%s/blobs/%s", fill->repository, digest);
    ask.path = path;
    fill->is_paused = false;
    fill->request = upstream_stream(fill->owner->client, &ask, &sink);
    if (fill->request == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a fill");
    }
    transfer_arm(fill, FILL_FLUSH_MS);
    return true;
}

void fill_transfer_look(struct fill *fill)
{
    struct gh_error error = {0};
    bool is_wanted;
    bool is_over;
    bool has_room;

    lock_acquire(&fill->set->lock);
    is_over = fill->is_over;
    has_room = fill->queued_bytes <= FILL_QUEUE_BYTES / 2;
    is_wanted = fill->is_transfer_wanted;
    fill->is_transfer_wanted = false;
    lock_release(&fill->set->lock);
    if (is_over) {
        fill_transfer_end(fill, UPSTREAM_OK, NULL);
        return;
    }
    if (is_wanted && !fill_transfer_start(fill, &error)) {
        fill_transfer_end(fill, UPSTREAM_FAILED, &error);
        return;
    }
    if (fill->is_paused && has_room) {
        fill->is_paused = false;
        if (fill->request != NULL) {
            upstream_resume(fill->request);
        }
    }
}
