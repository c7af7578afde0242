#include "crypto/rekor_entry.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/sjson.h"
#include "metrics/error.h"

static bool rekor_entry_refuse(struct gh_error *err, const char *why)
{
    return gh_fail(err, GH_TLOG_ENTRY_MALFORMED, "the log entry cannot be read: %s", why);
}

static bool rekor_entry_opt_base64(const json_t *object, const char *name, size_t limit,
                                   struct bytes_buf *out, struct gh_error *err)
{
    struct bytes text = {0};

    GH_TRY(sjson_opt_string(object, name, &text, err));
    if (text.len / 4 * 3 > limit) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "%s of a log entry is past %zu bytes", name,
                       limit);
    }
    return text.len == 0 || bytes_base64_decode(text, BYTES_BASE64_STANDARD, out, err);
}

static bool rekor_entry_hash(struct bytes text, uint8_t out[32], struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf hash = {0};

    GH_TRY(bytes_base64_decode(text, BYTES_BASE64_STANDARD, &hash, err));
    if (hash.len != 32) {
        return rekor_entry_refuse(err, "a hash is not 32 bytes long");
    }
    memcpy(out, hash.data, 32);
    return true;
}

static bool rekor_entry_text(const json_t *object, const char *name, char *out, size_t size,
                             struct gh_error *err)
{
    struct bytes text = {0};

    GH_TRY(sjson_get_string(object, name, &text, err));
    if (text.len == 0 || text.len >= size || bytes_contains_nul(text)) {
        return rekor_entry_refuse(err, "its kind or version is empty or too long");
    }
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static bool rekor_entry_read_hashes(const json_t *proof, struct rekor_entry *out,
                                    struct gh_error *err)
{
    json_t *array = NULL;
    json_t *hash;
    size_t i;

    GH_TRY(sjson_opt_array(proof, "hashes", &array, err));
    if (json_array_size(array) == 0) {
        return true;
    }
    if (json_array_size(array) > REKOR_MAX_HASHES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "an inclusion proof has %zu hashes, limit %d",
                       json_array_size(array), REKOR_MAX_HASHES);
    }
    out->hashes = calloc(json_array_size(array), sizeof(out->hashes[0]));
    if (out->hashes == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    json_array_foreach (array, i, hash) {
        if (!json_is_string(hash)) {
            return rekor_entry_refuse(err, "a hash is no string");
        }
        GH_TRY(rekor_entry_hash(sjson_string(hash), out->hashes[i], err));
        out->hash_count++;
    }
    return true;
}

static bool rekor_entry_read_proof(const json_t *proof, struct rekor_entry *out,
                                   struct gh_error *err)
{
    json_t *checkpoint = NULL;
    struct bytes text = {0};
    int64_t size = 0;

    GH_TRY(sjson_opt_proto_int64(proof, "logIndex", &out->proof_index, err));
    GH_TRY(sjson_opt_proto_int64(proof, "treeSize", &size, err));
    if (out->proof_index < 0 || size < 0) {
        return rekor_entry_refuse(err, "an index or a size is negative");
    }
    out->has_proof = true;
    out->has_proof_index = json_object_get(proof, "logIndex") != NULL;
    out->has_proof_size = json_object_get(proof, "treeSize") != NULL;
    out->proof_size = (uint64_t)size;
    GH_TRY(sjson_opt_string(proof, "rootHash", &text, err));
    if (text.len > 0) {
        GH_TRY(rekor_entry_hash(text, out->proof_root, err));
        out->has_proof_root = true;
    }
    GH_TRY(rekor_entry_read_hashes(proof, out, err));
    GH_TRY(sjson_opt_object(proof, "checkpoint", &checkpoint, err));
    if (checkpoint != NULL) {
        GH_TRY(sjson_opt_string(checkpoint, "envelope", &text, err));
        if (text.len > 0) {
            GH_TRY(bytes_dup(text, &out->checkpoint, err));
        }
    }
    return true;
}

static bool rekor_entry_read_log_id(const json_t *entry, struct rekor_entry *out,
                                    struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf id = {0};
    json_t *object = NULL;

    GH_TRY(sjson_opt_object(entry, "logId", &object, err));
    if (object == NULL) {
        return true;
    }
    GH_TRY(rekor_entry_opt_base64(object, "keyId", 64, &id, err));
    if (id.len == 0) {
        return true;
    }
    if (id.len != sizeof(out->log_id)) {
        return rekor_entry_refuse(err, "its log id is not 32 bytes long");
    }
    memcpy(out->log_id, id.data, sizeof(out->log_id));
    out->has_log_id = true;
    return true;
}

static bool rekor_entry_fill(const json_t *entry, struct rekor_entry *out, struct gh_error *err)
{
    json_t *object = NULL;

    if (!json_is_object(entry)) {
        return rekor_entry_refuse(err, "it is no object");
    }
    GH_TRY(sjson_opt_proto_int64(entry, "logIndex", &out->log_index, err));
    GH_TRY(sjson_opt_proto_int64(entry, "integratedTime", &out->integrated_unix_s, err));
    if (out->log_index < 0 || out->integrated_unix_s < 0) {
        return rekor_entry_refuse(err, "an index or a time is negative");
    }
    GH_TRY(rekor_entry_read_log_id(entry, out, err));
    GH_TRY(sjson_get_object(entry, "kindVersion", &object, err));
    GH_TRY(rekor_entry_text(object, "kind", out->kind, sizeof(out->kind), err));
    GH_TRY(rekor_entry_text(object, "version", out->version, sizeof(out->version), err));
    GH_TRY(sjson_opt_object(entry, "inclusionPromise", &object, err));
    if (object != NULL) {
        GH_TRY(rekor_entry_opt_base64(object, "signedEntryTimestamp", REKOR_MAX_PROMISE_BYTES,
                                      &out->promise, err));
    }
    GH_TRY(sjson_opt_object(entry, "inclusionProof", &object, err));
    if (object != NULL) {
        GH_TRY(rekor_entry_read_proof(object, out, err));
    }
    return rekor_entry_opt_base64(entry, "canonicalizedBody", REKOR_MAX_BODY_BYTES, &out->body,
                                  err);
}

bool rekor_entry_read(const json_t *entry, struct rekor_entry *out, struct gh_error *err)
{
    memset(out, 0, sizeof(*out));
    if (!rekor_entry_fill(entry, out, err)) {
        rekor_entry_done(out);
        return gh_recast(err, GH_TLOG_ENTRY_MALFORMED);
    }
    return true;
}

static bool rekor_entry_is_repeated(const struct rekor_entry *entries, size_t count)
{
    const struct rekor_entry *last = &entries[count];

    for (size_t i = 0; i < count; i++) {
        if (entries[i].log_index == last->log_index &&
            memcmp(entries[i].log_id, last->log_id, sizeof(last->log_id)) == 0) {
            return true;
        }
    }
    return false;
}

bool rekor_entries_read(const json_t *array, struct rekor_entry *out, size_t *count,
                        struct gh_error *err)
{
    size_t found = 0;
    json_t *entry;
    bool ok = true;
    size_t i;

    if (json_array_size(array) > REKOR_MAX_ENTRIES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "%zu log entries, limit %d",
                       json_array_size(array), REKOR_MAX_ENTRIES);
    }
    json_array_foreach (array, i, entry) {
        ok = rekor_entry_read(entry, &out[i], err);
        if (!ok) {
            gh_error_at(err, "log entry %zu", i);
            break;
        }
        found++;
        if (rekor_entry_is_repeated(out, i)) {
            ok = gh_fail(err, GH_TLOG_DUPLICATE_ENTRY, "log entry %zu repeats an earlier one", i);
            break;
        }
    }
    if (!ok) {
        while (found > 0) {
            rekor_entry_done(&out[--found]);
        }
        return false;
    }
    *count = found;
    return true;
}

static bool rekor_entry_fill_annotation(struct bytes json, struct rekor_entry *out,
                                        struct gh_error *err)
{
    static const char *const outer[] = {"SignedEntryTimestamp", "Payload", NULL};
    static const char *const inner[] = {"body", "integratedTime", "logIndex", "logID", NULL};
    GH_OWN(sjson_freep) json_t *doc = NULL;
    json_t *payload = NULL;
    struct bytes id = {0};

    GH_TRY(sjson_parse_object(json, REKOR_MAX_ANNOTATION_BYTES, &doc, err));
    GH_TRY(sjson_only_keys(doc, outer, err));
    GH_TRY(sjson_get_base64(doc, "SignedEntryTimestamp", &out->promise, err));
    GH_TRY(sjson_get_object(doc, "Payload", &payload, err));
    GH_TRY(sjson_only_keys(payload, inner, err));
    GH_TRY(sjson_get_base64(payload, "body", &out->body, err));
    GH_TRY(sjson_get_int(payload, "integratedTime", &out->integrated_unix_s, err));
    GH_TRY(sjson_get_int(payload, "logIndex", &out->log_index, err));
    GH_TRY(sjson_get_string(payload, "logID", &id, err));
    GH_TRY(bytes_hex_decode(id, out->log_id, sizeof(out->log_id), err));
    out->has_log_id = true;
    if (out->log_index < 0 || out->integrated_unix_s < 0) {
        return rekor_entry_refuse(err, "an index or a time is negative");
    }
    if (out->promise.len > REKOR_MAX_PROMISE_BYTES || out->body.len > REKOR_MAX_BODY_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "the log entry is too large");
    }
    return true;
}

bool rekor_entry_read_annotation(struct bytes json, struct rekor_entry *out, struct gh_error *err)
{
    memset(out, 0, sizeof(*out));
    if (!rekor_entry_fill_annotation(json, out, err)) {
        rekor_entry_done(out);
        return gh_recast(err, GH_TLOG_ENTRY_MALFORMED);
    }
    return true;
}

void rekor_entry_done(struct rekor_entry *entry)
{
    bytes_buf_done(&entry->promise);
    bytes_buf_done(&entry->body);
    bytes_buf_done(&entry->checkpoint);
    free(entry->hashes);
    memset(entry, 0, sizeof(*entry));
}
