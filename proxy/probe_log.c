#include "proxy/probe_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/checkpoint.h"
#include "crypto/key.h"
#include "crypto/merkle.h"
#include "crypto/rekor_log.h"
#include "crypto/tile.h"
#include "crypto/trustroot.h"
#include "proxy/upstream.h"

#define PROBE_LOG_MAX_PATH 256
#define PROBE_LOG_KINDS 3

static const char *const probe_log_heads[] = {
    [PROBE_KIND_REKOR1] = "/api/v1/log",
    [PROBE_KIND_REKOR2] = "/api/v2/checkpoint",
    [PROBE_KIND_TILED] = "/checkpoint",
};

struct probe_log {
    struct probe_log_ask ask;
    probe_log_fn fn;
    void *ctx;
    int64_t started_ms;
    struct upstream_request *request;

    enum probe_kind kinds[PROBE_LOG_KINDS]; /* in the order in which they are tried */
    size_t kind_count;
    size_t kind;

    struct bytes_buf note; /* what the log shows now */
    uint64_t size;
    struct merkle_head known; /* what was seen before */
    struct merkle_head found; /* what must continue it: the note's, or of a tree that is closed */
    struct gh_error first;    /* the first failure */

    struct tile_plan plan;
    struct bytes_buf tiles[TILE_MAX_TILES];
    size_t tile;
    bool is_full_tried; /* the part is gone: the whole tile was asked for */
};

static void probe_log_free(struct probe_log *look)
{
    bytes_buf_done(&look->note);
    for (size_t i = 0; i < GH_COUNT(look->tiles); i++) {
        bytes_buf_done(&look->tiles[i]);
    }
    free(look);
}

static bool probe_log_is_tiled(const struct probe_log *look)
{
    return look->kinds[look->kind] != PROBE_KIND_REKOR1;
}

/* The end of a look. ERROR: NULL when all is well. */
static void probe_log_end(struct probe_log *look, enum probe_log_outcome outcome,
                          const struct gh_error *error)
{
    struct probe_log_result result = {.outcome = outcome, .size = look->size, .note = look->note};

    if (look->kind < look->kind_count) {
        result.kind = look->kinds[look->kind];
    }
    if (error != NULL) {
        result.error = *error;
    }
    look->note = (struct bytes_buf){0};
    look->fn(look->ctx, &result);
    bytes_buf_done(&result.note);
    probe_log_free(look);
}

static void probe_log_fail(struct probe_log *look, const struct gh_error *error)
{
    probe_log_end(look, PROBE_LOG_FAILED, error);
}

static bool probe_log_get(struct probe_log *look, const char *path, size_t limit,
                          upstream_done_fn done, struct gh_error *err)
{
    const struct upstream_ask ask = {.upstream = look->ask.upstream,
                                     .path = path,
                                     .body_limit = limit,
                                     .timeout_ms = PROBE_LOG_TIMEOUT_MS};

    if (upstream_now_ms() - look->started_ms > PROBE_LOG_DEADLINE_MS) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "the log answers too slowly");
    }
    look->request = upstream_fetch(look->ask.client, &ask, done, look);
    return look->request != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for a request");
}

/* What came back, unless it is the body that was asked for. */
static bool probe_log_take(struct probe_log *look, struct upstream_result *result,
                           struct bytes_buf *body, bool *is_elsewhere, struct gh_error *err)
{
    look->request = NULL;
    /* Whoever has something else at that address says so in one of these ways. */
    *is_elsewhere = result->outcome == UPSTREAM_ABSENT || result->outcome == UPSTREAM_DENIED ||
                    result->outcome == UPSTREAM_REJECTED;
    if (result->outcome != UPSTREAM_OK) {
        *err = result->error;
        upstream_result_done(result);
        return false;
    }
    *body = result->body;
    memset(&result->body, 0, sizeof(result->body));
    upstream_result_done(result);
    return true;
}

/* ---- comparing --------------------------------------------------------------------------- */

/* Judge the hashes; FOUND, of whichever tree, must continue what is known. */
static void probe_log_judge(struct probe_log *look, const uint8_t (*hashes)[MERKLE_HASH_BYTES],
                            size_t count)
{
    struct gh_error error = {0};

    if (merkle_check_consistency(&look->known, &look->found, hashes, count, &error)) {
        probe_log_end(look, PROBE_LOG_GOOD, NULL);
    } else {
        probe_log_end(look, error.cause == GH_INTERNAL_ERROR ? PROBE_LOG_FAILED : PROBE_LOG_ALARM,
                      &error);
    }
}

static void probe_log_on_proof(void *ctx, struct upstream_result *result)
{
    struct probe_log *look = ctx;
    GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
    uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES];
    struct gh_error error = {0};
    bool is_elsewhere;
    size_t count = 0;

    if (!probe_log_take(look, result, &body, &is_elsewhere, &error) ||
        !rekor_log_parse_proof(bytes_view(&body), hashes, &count, &error)) {
        probe_log_fail(look, &error);
        return;
    }
    probe_log_judge(look, (const uint8_t(*)[MERKLE_HASH_BYTES])hashes, count);
}

static bool probe_log_ask_tile(struct probe_log *look, struct gh_error *err);

static void probe_log_prove_tiles(struct probe_log *look)
{
    uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES];
    struct bytes views[TILE_MAX_TILES];
    struct gh_error error = {0};

    for (size_t i = 0; i < look->plan.tile_count; i++) {
        views[i] = bytes_view(&look->tiles[i]);
    }
    if (!tile_plan_prove(&look->plan, views, hashes, &error)) {
        probe_log_fail(look, &error);
        return;
    }
    probe_log_judge(look, (const uint8_t(*)[MERKLE_HASH_BYTES])hashes, look->plan.hash_count);
}

static void probe_log_on_tile(void *ctx, struct upstream_result *result)
{
    struct probe_log *look = ctx;
    struct gh_error error = {0};
    bool is_elsewhere;

    if (probe_log_take(look, result, &look->tiles[look->tile], &is_elsewhere, &error)) {
        look->tile++;
        look->is_full_tried = false;
    } else if (is_elsewhere && !look->is_full_tried &&
               look->plan.tiles[look->tile].width < TILE_WIDTH) {
        /* Parts may be removed once the whole tile is there. */
        look->is_full_tried = true;
        gh_error_clear(&error);
    } else {
        probe_log_fail(look, &error);
        return;
    }
    if (look->tile == look->plan.tile_count) {
        probe_log_prove_tiles(look);
    } else if (!probe_log_ask_tile(look, &error)) {
        probe_log_fail(look, &error);
    }
}

static bool probe_log_ask_tile(struct probe_log *look, struct gh_error *err)
{
    char tile[TILE_MAX_PATH];
    char path[PROBE_LOG_MAX_PATH];

    tile_path(&look->plan.tiles[look->tile], look->is_full_tried, tile);
    (void)snprintf(path, sizeof(path), "%s/%s",
                   look->kinds[look->kind] == PROBE_KIND_REKOR2 ? "/api/v2" : "", tile);
    return probe_log_get(look, path, TILE_MAX_BYTES, probe_log_on_tile, err);
}

/* The note's tree against what is known; asks for the proof where one is needed. */
static void probe_log_compare(struct probe_log *look, const char *tree)
{
    struct gh_error error = {0};
    char path[PROBE_LOG_MAX_PATH];
    bool is_asked;

    if (look->known.size == 0 || look->found.size <= look->known.size) {
        probe_log_judge(look, NULL, 0);
        return;
    }
    if (probe_log_is_tiled(look)) {
        is_asked = tile_plan_consistency(look->known.size, look->found.size, &look->plan, &error) &&
                   probe_log_ask_tile(look, &error);
    } else {
        (void)snprintf(path, sizeof(path),
                       "/api/v1/log/proof?firstSize=%" PRIu64 "&lastSize=%" PRIu64 "&treeID=%s",
                       look->known.size, look->found.size, tree);
        is_asked = probe_log_get(look, path, REKOR_LOG_MAX_PROOF_BYTES, probe_log_on_proof, &error);
    }
    if (!is_asked) {
        probe_log_fail(look, &error);
    }
}

/* ---- the tree head ----------------------------------------------------------------------- */

/* Read a note and check that one of the log's keys signed it. */
static bool probe_log_read(const struct probe_log *look, struct bytes note, struct checkpoint *out,
                           struct gh_error *err)
{
    struct gh_error failure = {0};

    GH_TRY(checkpoint_parse(note, out, err));
    for (size_t i = 0; i < look->ask.key_count; i++) {
        struct gh_error other = {0};

        if (rekor_log_check(look->ask.keys[i], out, probe_log_is_tiled(look), &other)) {
            return true;
        }
        if (failure.cause == GH_CAUSE_NONE) {
            failure = other;
        }
    }
    checkpoint_done(out);
    return gh_fail(err, failure.cause, "%s", failure.text);
}

static void probe_log_set_head(const struct checkpoint *checkpoint, struct merkle_head *out)
{
    out->size = checkpoint->size;
    memcpy(out->root, checkpoint->root, sizeof(out->root));
}

/* What is remembered was verified when it was stored; its key may have been replaced since. */
static bool probe_log_recall(struct probe_log *look, const struct checkpoint *now, bool *is_same,
                             struct checkpoint *known, struct gh_error *err)
{
    GH_TRY(checkpoint_parse(bytes_view(&look->ask.memory->head), known, err));
    probe_log_set_head(known, &look->known);
    *is_same = bytes_equal(known->origin, now->origin);
    return true;
}

/* Another tree grows now: the one that was seen before must still be shown, closed. */
static bool probe_log_find_closed(struct probe_log *look, const struct rekor_log *log,
                                  const struct checkpoint *known, const char **tree,
                                  struct gh_error *err)
{
    for (size_t i = 1; log != NULL && i < log->count; i++) {
        struct checkpoint closed;
        bool is_it;

        if (!checkpoint_parse(bytes_view(&log->trees[i].head), &closed, NULL)) {
            continue;
        }
        is_it = bytes_equal(closed.origin, known->origin);
        checkpoint_done(&closed);
        if (is_it) {
            GH_TRY(probe_log_read(look, bytes_view(&log->trees[i].head), &closed, err));
            probe_log_set_head(&closed, &look->found);
            checkpoint_done(&closed);
            *tree = log->trees[i].id;
            return true;
        }
    }
    return gh_fail(
        err, GH_LOG_REPLACED, "the log no longer shows the tree %.*s of %" PRIu64 " entries",
        (int)GH_MIN(known->origin.len, (size_t)80), (const char *)known->origin.data, known->size);
}

/* A signed head is here. LOG: NULL for tiled logs. */
static void probe_log_meet(struct probe_log *look, const struct checkpoint *now,
                           const struct rekor_log *log)
{
    struct checkpoint known = {0};
    struct gh_error error = {0};
    const char *tree = log != NULL ? log->trees[0].id : NULL;
    bool is_same = true;
    bool is_found;

    look->size = now->size;
    probe_log_set_head(now, &look->found);
    if (look->ask.memory->head.len == 0) { /* the first look: from here on it must continue this */
        probe_log_end(look, PROBE_LOG_GOOD, NULL);
        return;
    }
    if (!probe_log_recall(look, now, &is_same, &known, &error)) {
        probe_log_fail(look, &error);
        return;
    }
    is_found = is_same || probe_log_find_closed(look, log, &known, &tree, &error);
    checkpoint_done(&known);
    if (is_found) {
        probe_log_compare(look, tree);
    } else {
        probe_log_end(look, error.cause == GH_LOG_REPLACED ? PROBE_LOG_ALARM : PROBE_LOG_FAILED,
                      &error);
    }
}

static void probe_log_on_description(struct probe_log *look, struct bytes_buf *body)
{
    struct rekor_log log;
    struct checkpoint now;
    struct gh_error error = {0};

    if (!rekor_log_parse(bytes_view(body), &log, &error)) {
        probe_log_fail(look, &error);
        return;
    }
    look->note = log.trees[0].head;
    log.trees[0].head = (struct bytes_buf){0};
    if (probe_log_read(look, bytes_view(&look->note), &now, &error)) {
        probe_log_meet(look, &now, &log);
        checkpoint_done(&now);
    } else {
        probe_log_fail(look, &error);
    }
    rekor_log_done(&log);
}

static void probe_log_ask_head(struct probe_log *look, struct gh_error *err);

static void probe_log_on_head(void *ctx, struct upstream_result *result)
{
    struct probe_log *look = ctx;
    GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
    struct checkpoint now;
    struct gh_error error = {0};
    bool is_elsewhere;

    if (!probe_log_take(look, result, &body, &is_elsewhere, &error)) {
        if (look->first.cause == GH_CAUSE_NONE) {
            look->first = error;
        }
        if (is_elsewhere && look->kind + 1 < look->kind_count) {
            look->kind++;
            gh_error_clear(&error);
            probe_log_ask_head(look, &error);
            if (error.cause == GH_CAUSE_NONE) {
                return;
            }
        }
        probe_log_fail(look, &look->first);
        return;
    }
    if (!probe_log_is_tiled(look)) {
        probe_log_on_description(look, &body);
        return;
    }
    look->note = body;
    body = (struct bytes_buf){0};
    /* The checkpoint's views point into the note, which a failed or finished look frees. */
    if (!probe_log_read(look, bytes_view(&look->note), &now, &error)) {
        probe_log_fail(look, &error);
        return;
    }
    probe_log_meet(look, &now, NULL);
    checkpoint_done(&now);
}

static void probe_log_ask_head(struct probe_log *look, struct gh_error *err)
{
    (void)!probe_log_get(look, probe_log_heads[look->kinds[look->kind]], REKOR_LOG_MAX_BYTES,
                         probe_log_on_head, err);
}

/* A trusted root does not say which kind a log is. Rekor v2 logs sign with Ed25519, v1 never does
 * by default; what was found once stays. */
static void probe_log_order(struct probe_log *look)
{
    static const enum probe_kind tiled_first[] = {PROBE_KIND_REKOR2, PROBE_KIND_TILED,
                                                  PROBE_KIND_REKOR1};
    static const enum probe_kind tiled_last[] = {PROBE_KIND_REKOR1, PROBE_KIND_REKOR2,
                                                 PROBE_KIND_TILED};
    bool is_ed25519 = key_type(look->ask.keys[0]->key) == KEY_TYPE_ED25519;

    if (look->ask.memory->kind != PROBE_KIND_UNKNOWN) {
        look->kinds[0] = look->ask.memory->kind;
        look->kind_count = 1;
        return;
    }
    memcpy(look->kinds, is_ed25519 ? tiled_first : tiled_last, sizeof(look->kinds));
    look->kind_count = PROBE_LOG_KINDS;
}

struct probe_log *probe_log_start(const struct probe_log_ask *ask, probe_log_fn fn, void *ctx)
{
    struct probe_log *look = calloc(1, sizeof(*look));
    struct gh_error ignored = {0};

    if (look == NULL) {
        return NULL;
    }
    look->ask = *ask;
    look->fn = fn;
    look->ctx = ctx;
    look->started_ms = upstream_now_ms();
    probe_log_order(look);
    probe_log_ask_head(look, &ignored);
    if (look->request == NULL) {
        probe_log_free(look);
        return NULL;
    }
    return look;
}

void probe_log_cancel(struct probe_log *look)
{
    if (look != NULL) {
        upstream_cancel(look->request);
        probe_log_free(look);
    }
}
