/*
 * The helpers' side of a fill: one block after the other is written and hashed; then the hash
 * decides, the last byte is released, and the file gets its name. Hashing takes about twice as long
 * as writing, so where blocks queue up two helpers share the work: one writes while one hashes.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/fill_state.h"

static bool strand_write(struct fill *fill, const struct fill_block *block, struct gh_error *err)
{
    size_t done = 0;

    while (done < block->len) {
        ssize_t put = pwrite(fill->stage->fd, block->data + done, block->len - done,
                             (off_t)(fill->written_bytes + done));

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return gh_fail(err, GH_INTERNAL_ERROR, "content cannot be written: %s",
                           strerror(errno));
        }
        done += (size_t)put;
    }
    return true;
}

static bool strand_hash(struct fill *fill, const struct fill_block *block, struct gh_error *err)
{
    if (fill->hash == NULL) {
        GH_TRY(digest_stream_new(fill->digest.alg, &fill->hash, err));
    }
    return digest_stream_update(fill->hash, bytes_make(block->data, block->len), err);
}

static bool strand_check_hash(struct fill *fill, struct gh_error *err)
{
    int64_t size = atomic_load(&fill->size);
    struct digest found;
    char wanted_text[DIGEST_MAX_TEXT];
    char found_text[DIGEST_MAX_TEXT];

    if (size >= 0 && (uint64_t)size != fill->written_bytes) {
        return gh_fail(err, GH_DIGEST_MISMATCH, "%llu bytes came where %lld were announced",
                       (unsigned long long)fill->written_bytes, (long long)size);
    }
    if (fill->hash == NULL) {
        GH_TRY(digest_stream_new(fill->digest.alg, &fill->hash, err));
    }
    GH_TRY(digest_stream_final(fill->hash, &found, err));
    if (!digest_equal(&found, &fill->digest)) {
        digest_format(&fill->digest, wanted_text);
        digest_format(&found, found_text);
        return gh_fail(err, GH_DIGEST_MISMATCH, "wanted %.80s, the registry sent %.80s",
                       wanted_text, found_text);
    }
    return true;
}

/* Not to be had: readers close short. */
static void strand_fail(struct fill *fill, int outcome, const struct gh_error *error)
{
    struct fill_set *set = fill->set;

    if (fill->stage != NULL) {
        blob_stage_abort(set->blobs, fill->stage);
        fill->stage = NULL;
    }
    LOCK_HOLD(&set->lock);
    while (fill->first != NULL) {
        struct fill_block *block = fill->first;

        fill->first = block->next;
        fill_block_give(set, block);
    }
    fill->last = &fill->first;
    fill->to_write = NULL;
    fill->to_hash = NULL;
    fill->queued_bytes = 0;
    fill->error = *error;
    fill->outcome = outcome;
    fill->is_over = true;
    fill_unlist(fill);
    atomic_store(&fill->state, FILL_FAILED);
    fill_wake(fill);
}

/* Everything is written. The order is what makes it fast and safe: the hash agrees, the held byte
 * is released, and only then the disk is waited for. */
static void strand_finish(struct fill *fill)
{
    struct fill_set *set = fill->set;
    struct blob_file *file = NULL;
    struct gh_error error = {0};
    bool is_published;

    if (!strand_check_hash(fill, &error)) {
        strand_fail(fill, UPSTREAM_UNAVAILABLE, &error);
        return;
    }
    lock_acquire(&set->lock);
    atomic_store(&fill->size, (int64_t)fill->written_bytes);
    atomic_store(&fill->available, fill->written_bytes);
    atomic_store(&fill->state, FILL_WHOLE);
    fill_wake(fill);
    lock_release(&set->lock);
    is_published = blob_stage_publish(set->blobs, fill->stage, &fill->digest, fill->written_bytes,
                                      time(NULL), &file, &error);
    fill->stage = NULL;
    LOCK_HOLD(&set->lock);
    /* Readers have the bytes either way; what could not be named is fetched again next time. */
    if (is_published) {
        blob_file_unref(set->blobs, file);
        atomic_store(&fill->state, FILL_PUBLISHED);
    }
    fill->is_over = true;
    fill_unlist(fill);
    fill_wake(fill);
}

/* Content that is there but was not hashed since an unclean stop. */
static void strand_check_file(struct fill *fill)
{
    struct fill_set *set = fill->set;
    struct blob_file *file = GH_TAKE(fill->unchecked);
    struct gh_error error = {0};
    bool is_good = blob_check(set->blobs, file, time(NULL), &error);

    lock_acquire(&set->lock);
    if (is_good) {
        atomic_store(&fill->fd, dup(file->fd));
        is_good = atomic_load(&fill->fd) >= 0;
    }
    if (is_good) {
        atomic_store(&fill->size, (int64_t)file->size_bytes);
        atomic_store(&fill->available, file->size_bytes);
        atomic_store(&fill->state, FILL_PUBLISHED);
        fill->is_over = true;
        fill_unlist(fill);
    } else {
        fill->is_transfer_wanted = true;
    }
    fill_wake(fill);
    lock_release(&set->lock);
    blob_file_unref(set->blobs, file);
}

enum strand_step { STRAND_IDLE, STRAND_WRITE, STRAND_HASH, STRAND_END };

/* Blocks that nobody needs any more. The lock is held. */
static void strand_drop_done(struct fill *fill)
{
    while (fill->first != NULL && fill->first->is_written && fill->first->is_hashed) {
        struct fill_block *block = fill->first;

        fill->first = block->next;
        if (fill->first == NULL) {
            fill->last = &fill->first;
        }
        fill->queued_bytes -= block->len;
        fill_block_give(fill->set, block);
    }
}

/* STEP was done with the block, or could not be: *ERROR. */
static void strand_done(struct fill *fill, enum strand_step step, struct fill_block *block,
                        const struct gh_error *error)
{
    LOCK_HOLD(&fill->set->lock);

    if (step == STRAND_WRITE) {
        fill->is_writing = false;
        block->is_written = true;
        fill->to_write = block->next;
    } else {
        fill->is_hashing = false;
        block->is_hashed = true;
        fill->to_hash = block->next;
    }
    if (error->cause != GH_CAUSE_NONE) {
        fill_end(fill, UPSTREAM_FAILED, error);
        return;
    }
    if (step == STRAND_WRITE) {
        fill->written_bytes += block->len;
        /* One byte stays back until the hash has agreed: a reader's body is not complete before. */
        atomic_store(&fill->available, fill->written_bytes - 1);
    }
    strand_drop_done(fill);
    fill_wake(fill);
}

/* The lock is held. */
static enum strand_step strand_choose(struct fill *fill)
{
    /* After a failure what is queued is of no use. */
    bool has_failed = fill->is_ended && fill->error.cause != GH_CAUSE_NONE;

    if (fill->is_over || fill->is_finishing) {
        return STRAND_IDLE;
    }
    if (!has_failed && !fill->is_writing && fill->to_write != NULL) {
        return STRAND_WRITE;
    }
    if (!has_failed && !fill->is_hashing && fill->to_hash != NULL) {
        return STRAND_HASH;
    }
    if (fill->is_ended && !fill->is_writing && !fill->is_hashing &&
        (has_failed || fill->first == NULL)) {
        return STRAND_END;
    }
    return STRAND_IDLE;
}

/* What this strand does next: with which block, or with which error. */
static enum strand_step strand_take(struct fill_strand *strand, struct fill_block **block,
                                    struct gh_error *error)
{
    struct fill *fill = strand->fill;
    enum strand_step step;
    LOCK_HOLD(&fill->set->lock);

    step = strand_choose(fill);
    switch (step) {
    case STRAND_WRITE:
        fill->is_writing = true;
        *block = fill->to_write;
        break;
    case STRAND_HASH:
        fill->is_hashing = true;
        *block = fill->to_hash;
        break;
    case STRAND_END:
        fill->is_finishing = true;
        *error = fill->error;
        break;
    case STRAND_IDLE:
        strand->is_active = false;
        fill->strands_active--;
        break;
    }
    return step;
}

static void strand_run(struct helper_job *job)
{
    struct fill_strand *strand = (struct fill_strand *)job;
    struct fill *fill = strand->fill;
    struct fill_block *block = NULL;

    if (fill->unchecked != NULL) {
        strand_check_file(fill);
    }
    for (;;) {
        struct gh_error error = {0};
        enum strand_step step = strand_take(strand, &block, &error);

        switch (step) {
        case STRAND_WRITE:
            (void)!strand_write(fill, block, &error);
            strand_done(fill, step, block, &error);
            break;
        case STRAND_HASH:
            (void)!strand_hash(fill, block, &error);
            strand_done(fill, step, block, &error);
            break;
        case STRAND_END:
            if (error.cause != GH_CAUSE_NONE) {
                strand_fail(fill, fill->outcome, &error);
            } else {
                strand_finish(fill);
            }
            break;
        case STRAND_IDLE:
            fill_unref(fill);
            return;
        }
    }
}

void fill_strand_kick(struct fill *fill)
{
    /* A second one pays where blocks wait; a small blob stays with one. */
    unsigned wanted = fill->first != NULL && fill->first->next != NULL ? FILL_STRANDS : 1;

    for (size_t i = 0; i < FILL_STRANDS && fill->strands_active < wanted; i++) {
        struct fill_strand *strand = &fill->strands[i];

        if (strand->is_active) {
            continue;
        }
        strand->is_active = true;
        strand->fill = fill;
        strand->job.run = strand_run;
        strand->job.worker = NULL;
        fill->strands_active++;
        atomic_fetch_add(&fill->references, 1);
        helper_continue(fill->set->helpers, &strand->job);
    }
}
