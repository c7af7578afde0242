#include "crypto/rekor_log.h"

#include <string.h>

#include "crypto/sjson.h"
#include "crypto/trustroot.h"
#include "metrics/error.h"

/* ---- whose checkpoint it is -------------------------------------------------------------- */

struct bytes rekor_log_v1_name(struct bytes origin)
{
    size_t at = bytes_find(origin, BYTES_LITERAL(" - "));

    return at == SIZE_MAX ? origin : bytes_slice(origin, 0, at);
}

/* Signers take the bare name of the host, without its port. */
static bool rekor_log_is_host(struct bytes host, struct bytes origin)
{
    size_t end = host.len;

    while (end > 0 && host.data[end - 1] >= '0' && host.data[end - 1] <= '9') {
        end--;
    }
    return end > 1 && end < host.len && host.data[end - 1] == ':' &&
           bytes_equal(origin, bytes_slice(host, 0, end - 1));
}

bool rekor_log_is_origin(const struct trustroot_log *log, struct bytes origin)
{
    return origin.len > 0 &&
           (bytes_equal_cstr(origin, log->origin) || bytes_equal_cstr(origin, log->host) ||
            rekor_log_is_host(bytes_of(log->host), origin));
}

bool rekor_log_check(const struct trustroot_log *log, const struct checkpoint *checkpoint,
                     bool is_tiled, struct gh_error *err)
{
    const struct checkpoint_key key = {.key = log->key,
                                       .scheme = log->scheme,
                                       .alg = log->alg,
                                       .name = is_tiled ? checkpoint->origin
                                                        : rekor_log_v1_name(checkpoint->origin)};

    if (is_tiled && !rekor_log_is_origin(log, checkpoint->origin)) {
        return gh_fail(err, GH_CHECKPOINT_ORIGIN_MISMATCH,
                       "the checkpoint is of %.*s, the log's address is %.100s",
                       (int)GH_MIN(checkpoint->origin.len, (size_t)80),
                       (const char *)checkpoint->origin.data, log->base_url);
    }
    return checkpoint_verify(checkpoint, &key,
                             log->has_checkpoint_key_id ? log->checkpoint_key_id : NULL, NULL, err);
}

/* ---- Rekor v1's answers ------------------------------------------------------------------ */

static bool rekor_log_read_tree(const json_t *object, struct rekor_log *out, struct gh_error *err)
{
    struct rekor_log_tree *tree = &out->trees[out->count];
    struct bytes id, head;

    GH_TRY(sjson_get_string(object, "treeID", &id, err));
    GH_TRY(sjson_get_string(object, "signedTreeHead", &head, err));
    if (id.len == 0 || id.len >= sizeof(tree->id)) {
        return gh_fail(err, GH_LOG_ANSWER_MALFORMED, "treeID is no number");
    }
    for (size_t i = 0; i < id.len; i++) {
        if (id.data[i] < '0' || id.data[i] > '9') { /* it becomes part of an address */
            return gh_fail(err, GH_LOG_ANSWER_MALFORMED, "treeID is no number");
        }
    }
    GH_TRY(bytes_dup(head, &tree->head, err));
    memcpy(tree->id, id.data, id.len);
    tree->id[id.len] = '\0';
    out->count++;
    return true;
}

static bool rekor_log_read(struct bytes json, struct rekor_log *out, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    json_t *shards = NULL;

    GH_TRY(sjson_parse_object(json, REKOR_LOG_MAX_BYTES, &doc, err));
    GH_TRY(rekor_log_read_tree(doc, out, err));
    GH_TRY(sjson_opt_array(doc, "inactiveShards", &shards, err));
    if (json_array_size(shards) > REKOR_LOG_MAX_TREES - 1) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the log has %zu trees, limit %d",
                       json_array_size(shards) + 1, REKOR_LOG_MAX_TREES);
    }
    for (size_t i = 0; i < json_array_size(shards); i++) {
        GH_TRY(rekor_log_read_tree(json_array_get(shards, i), out, err));
    }
    return true;
}

bool rekor_log_parse(struct bytes json, struct rekor_log *out, struct gh_error *err)
{
    memset(out, 0, sizeof(*out));
    if (!rekor_log_read(json, out, err)) {
        rekor_log_done(out);
        return gh_recast(err, GH_LOG_ANSWER_MALFORMED);
    }
    return true;
}

void rekor_log_done(struct rekor_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        bytes_buf_done(&log->trees[i].head);
    }
    memset(log, 0, sizeof(*log));
}

static bool rekor_log_read_proof(struct bytes json,
                                 uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES],
                                 size_t *count, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    json_t *list = NULL;

    GH_TRY(sjson_parse_object(json, REKOR_LOG_MAX_PROOF_BYTES, &doc, err));
    GH_TRY(sjson_get_array(doc, "hashes", &list, err));
    if (json_array_size(list) > MERKLE_MAX_HASHES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the proof has %zu hashes, limit %d",
                       json_array_size(list), MERKLE_MAX_HASHES);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *hash = json_array_get(list, i);

        if (!json_is_string(hash) || json_string_length(hash) != 2 * MERKLE_HASH_BYTES ||
            !bytes_hex_decode(sjson_string(hash), hashes[i], MERKLE_HASH_BYTES, NULL)) {
            return gh_fail(err, GH_LOG_ANSWER_MALFORMED, "hash %zu of the proof is no SHA-256", i);
        }
    }
    *count = json_array_size(list);
    return true;
}

bool rekor_log_parse_proof(struct bytes json, uint8_t hashes[MERKLE_MAX_HASHES][MERKLE_HASH_BYTES],
                           size_t *count, struct gh_error *err)
{
    return rekor_log_read_proof(json, hashes, count, err) ||
           gh_recast(err, GH_LOG_ANSWER_MALFORMED);
}
