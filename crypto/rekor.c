#include "crypto/rekor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/memo.h"
#include "crypto/merkle.h"
#include "crypto/rekor_body.h"
#include "crypto/rekor_log.h"
#include "crypto/trustroot.h"
#include "metrics/error.h"

#define REKOR_MAX_FUTURE_S 300

/* One entry on its way through the checks. */
struct rekor_check {
    const struct rekor_entry *entry;
    const struct trustroot *root;
    const struct rekor_signed *what;
    const struct rekor_options *options;
    int64_t now_unix_s;
};

static bool rekor_check_inclusion(const struct rekor_entry *entry, struct bytes body,
                                  uint64_t index, const struct checkpoint *checkpoint,
                                  struct gh_error *err)
{
    struct merkle_head head = {.size = checkpoint->size};
    uint8_t leaf[MERKLE_HASH_BYTES];

    memcpy(head.root, checkpoint->root, sizeof(head.root));
    GH_TRY(merkle_hash_leaf(body, leaf, err));
    return merkle_check_inclusion(leaf, index, &head, (const uint8_t(*)[32])entry->hashes,
                                  entry->hash_count, err);
}

/* ---- logs -------------------------------------------------------------------------------- */

static bool rekor_log_covers(const struct trustroot_log *log, int64_t unix_s)
{
    return unix_s <= INT64_MAX / 1000 && unix_s >= INT64_MIN / 1000 &&
           trustroot_log_covers(log, unix_s * 1000);
}

/* Whether every time that bears on the entry lies in the log key's window. */
static bool rekor_log_covers_all(const struct rekor_check *check, const struct trustroot_log *log,
                                 bool use_integrated)
{
    bool covers = !use_integrated || rekor_log_covers(log, check->entry->integrated_unix_s);

    for (size_t i = 0; i < check->options->time_count; i++) {
        covers = covers && rekor_log_covers(log, check->options->times_unix_s[i]);
    }
    return covers;
}

static bool rekor_refuse_unknown(struct gh_error *err)
{
    return gh_fail(err, GH_TLOG_LOG_UNKNOWN,
                   "the log entry is of a log that the trust root does "
                   "not name");
}

/* The root's log with the entry's id; of several the one whose window fits. */
static bool rekor_find_log(const struct rekor_check *check, bool use_integrated,
                           const struct trustroot_log **out, struct gh_error *err)
{
    size_t count = 0;
    const struct trustroot_log *logs = trustroot_tlogs(check->root, &count);
    bool is_known = false;

    for (size_t i = 0; check->entry->has_log_id && i < count; i++) {
        if (logs[i].key == NULL || memcmp(logs[i].id, check->entry->log_id, 32) != 0) {
            continue;
        }
        is_known = true;
        if (rekor_log_covers_all(check, &logs[i], use_integrated)) {
            *out = &logs[i];
            return true;
        }
    }
    if (!is_known) {
        return rekor_refuse_unknown(err);
    }
    return gh_fail(err, GH_TLOG_KEY_WINDOW,
                   "the entry's time is outside the window in which the log's key is trusted");
}

static struct checkpoint_key rekor_checkpoint_key(const struct trustroot_log *log,
                                                  struct bytes name)
{
    return (struct checkpoint_key){
        .key = log->key, .scheme = log->scheme, .alg = log->alg, .name = name};
}

static bool rekor_check_witnesses(const struct rekor_check *check,
                                  const struct checkpoint *checkpoint, struct gh_error *err)
{
    if (check->options->witness_threshold == 0) {
        return true;
    }
    return checkpoint_check_witnesses(checkpoint, check->options->witnesses,
                                      check->options->witness_count,
                                      check->options->witness_threshold, err);
}

/* ---- Rekor v1 ---------------------------------------------------------------------------- */

static bool rekor_check_promise(const struct rekor_entry *entry, const struct trustroot_log *log,
                                struct gh_error *err)
{
    char *body = bytes_base64_encode(bytes_view(&entry->body), BYTES_BASE64_STANDARD);
    char id[2 * sizeof(entry->log_id) + 1];
    struct gh_error failure = {0};
    char *text = NULL;
    bool ok = false;
    int len;

    bytes_hex_encode(bytes_make(entry->log_id, sizeof(entry->log_id)), id);
    len = body == NULL ? -1
                       : asprintf(&text,
                                  "{\"body\":\"%s\",\"integratedTime\":%" PRId64
                                  ",\"logID\":\"%s\",\"logIndex\":%" PRId64 "}",
                                  body, entry->integrated_unix_s, id, entry->log_index);
    free(body);
    if (len < 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    ok = key_verify(log->key, log->scheme, log->alg, bytes_make(text, (size_t)len),
                    bytes_view(&entry->promise), &failure);
    free(text);
    if (!ok) {
        return failure.cause == GH_INTERNAL_ERROR
                   ? gh_fail(err, failure.cause, "%s", failure.text)
                   : gh_fail(err, GH_SET_INVALID,
                             "the signed entry timestamp does not verify with the log's key");
    }
    return true;
}

static bool rekor_check_v1_head(const struct rekor_check *check, const struct trustroot_log *log,
                                const struct checkpoint *checkpoint, struct gh_error *err)
{
    const struct rekor_entry *entry = check->entry;
    struct checkpoint_key key = rekor_checkpoint_key(log, rekor_log_v1_name(checkpoint->origin));

    GH_TRY(checkpoint_verify(checkpoint, &key,
                             log->has_checkpoint_key_id ? log->checkpoint_key_id : NULL,
                             trustroot_memo(check->root), err));
    GH_TRY(rekor_check_witnesses(check, checkpoint, err));
    if (!entry->has_proof_root || memcmp(entry->proof_root, checkpoint->root, 32) != 0 ||
        entry->proof_size != checkpoint->size) {
        return gh_fail(err, GH_CHECKPOINT_ROOT_MISMATCH,
                       "the proof is for a tree of %" PRIu64 " entries and its root, the "
                       "checkpoint for another of %" PRIu64,
                       entry->proof_size, checkpoint->size);
    }
    return rekor_check_inclusion(entry, bytes_view(&entry->body), (uint64_t)entry->proof_index,
                                 checkpoint, err);
}

static bool rekor_parse_checkpoint(const struct rekor_entry *entry, struct checkpoint *out,
                                   struct gh_error *err)
{
    if (entry->checkpoint.len == 0) {
        return gh_fail(err, GH_CHECKPOINT_MALFORMED, "the inclusion proof has no checkpoint");
    }
    return checkpoint_parse(bytes_view(&entry->checkpoint), out, err);
}

static bool rekor_check_v1_proof(const struct rekor_check *check, const struct trustroot_log *log,
                                 struct gh_error *err)
{
    struct checkpoint checkpoint;
    bool ok;

    GH_TRY(rekor_parse_checkpoint(check->entry, &checkpoint, err));
    ok = rekor_check_v1_head(check, log, &checkpoint, err);
    checkpoint_done(&checkpoint);
    return ok;
}

static bool rekor_check_v1(const struct rekor_check *check, struct rekor_proof *out,
                           struct gh_error *err)
{
    const struct rekor_entry *entry = check->entry;
    bool has_promise = entry->promise.len > 0;
    const struct trustroot_log *log = NULL;

    if (entry->body.len == 0) {
        return gh_fail(err, GH_TLOG_ENTRY_MALFORMED, "the log entry has no body");
    }
    if (!has_promise && (check->options->is_promise_required || !entry->has_proof)) {
        return gh_fail(err, GH_SET_MISSING, "the log entry has no signed entry timestamp");
    }
    if (!entry->has_proof &&
        (check->options->is_proof_required || check->options->witness_threshold > 0)) {
        return gh_fail(err, GH_INCLUSION_PROOF_MISSING, "the log entry has no inclusion proof");
    }
    GH_TRY(rekor_find_log(check, has_promise, &log, err));
    if (has_promise) {
        GH_TRY(rekor_check_promise(entry, log, err));
        if (entry->integrated_unix_s > check->now_unix_s &&
            entry->integrated_unix_s - check->now_unix_s > REKOR_MAX_FUTURE_S) {
            return gh_fail(err, GH_TIMESTAMP_FUTURE,
                           "the log entry's time %" PRId64 " lies in "
                           "the future",
                           entry->integrated_unix_s);
        }
    }
    if (entry->has_proof) {
        GH_TRY(rekor_check_v1_proof(check, log, err));
    }
    GH_TRY(rekor_body_check(entry, check->what, err));
    *out = (struct rekor_proof){.log = log,
                                .index = entry->log_index,
                                .has_time = has_promise && entry->integrated_unix_s > 0,
                                .integrated_unix_s = has_promise ? entry->integrated_unix_s : 0};
    return true;
}

/* ---- Rekor v2 ---------------------------------------------------------------------------- */

/* Find the log by the checkpoint's origin and verify the checkpoint with its key. */
static bool rekor_check_v2_head(const struct rekor_check *check,
                                const struct checkpoint *checkpoint,
                                const struct trustroot_log **out, struct gh_error *err)
{
    struct checkpoint_key key;
    size_t count = 0;
    const struct trustroot_log *logs = trustroot_tlogs(check->root, &count);
    const struct trustroot_log *found = NULL;
    bool is_id_known = false;
    bool is_window_missed = false;

    for (size_t i = 0; found == NULL && i < count; i++) {
        if (logs[i].key == NULL ||
            (check->entry->has_log_id && memcmp(logs[i].id, check->entry->log_id, 32) != 0)) {
            continue;
        }
        is_id_known = is_id_known || check->entry->has_log_id;
        if (!rekor_log_is_origin(&logs[i], checkpoint->origin)) {
            continue;
        }
        is_window_missed = !rekor_log_covers_all(check, &logs[i], false);
        found = is_window_missed ? NULL : &logs[i];
    }
    if (found == NULL) {
        return is_window_missed ? gh_fail(err, GH_TLOG_KEY_WINDOW,
                                          "the signing time is outside the window in which the "
                                          "log's key is trusted")
               : is_id_known    ? gh_fail(err, GH_CHECKPOINT_ORIGIN_MISMATCH,
                                          "the checkpoint names another origin than the log's")
                                : rekor_refuse_unknown(err);
    }
    key = rekor_checkpoint_key(found, checkpoint->origin);
    GH_TRY(checkpoint_verify(checkpoint, &key,
                             found->has_checkpoint_key_id ? found->checkpoint_key_id : NULL,
                             trustroot_memo(check->root), err));
    *out = found;
    return rekor_check_witnesses(check, checkpoint, err);
}

/* What the proof repeats of entry and checkpoint must agree with them. */
static bool rekor_check_v2_repeats(const struct rekor_entry *entry,
                                   const struct checkpoint *checkpoint, struct gh_error *err)
{
    if (entry->has_proof_index && entry->proof_index != entry->log_index) {
        return gh_fail(err, GH_INCLUSION_PROOF_INVALID,
                       "the proof is for index %" PRId64 ", the entry has index %" PRId64,
                       entry->proof_index, entry->log_index);
    }
    if ((entry->has_proof_root && memcmp(entry->proof_root, checkpoint->root, 32) != 0) ||
        (entry->has_proof_size && entry->proof_size != checkpoint->size)) {
        return gh_fail(err, GH_CHECKPOINT_ROOT_MISMATCH,
                       "the proof's root or size is not the checkpoint's");
    }
    return true;
}

static bool rekor_check_v2(const struct rekor_check *check, struct rekor_proof *out,
                           struct gh_error *err)
{
    const struct rekor_entry *entry = check->entry;
    GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
    const struct trustroot_log *log = NULL;
    struct checkpoint checkpoint;
    bool ok;

    if (!entry->has_proof) {
        return gh_fail(err, GH_INCLUSION_PROOF_MISSING, "the log entry has no inclusion proof");
    }
    GH_TRY(rekor_parse_checkpoint(entry, &checkpoint, err));
    ok = rekor_check_v2_head(check, &checkpoint, &log, err) &&
         rekor_check_v2_repeats(entry, &checkpoint, err) &&
         rekor_body_rebuild(entry, check->what, &body, err) &&
         rekor_check_inclusion(entry, bytes_view(&body), (uint64_t)entry->log_index, &checkpoint,
                               err);
    checkpoint_done(&checkpoint);
    GH_TRY(ok);
    *out = (struct rekor_proof){.log = log, .index = entry->log_index};
    return true;
}

/* ---- entries ----------------------------------------------------------------------------- */

bool rekor_entry_verify(const struct rekor_entry *entry, const struct trustroot *root,
                        const struct rekor_signed *what, const struct rekor_options *options,
                        int64_t now_unix_s, struct rekor_proof *out, struct gh_error *err)
{
    const struct rekor_check check = {entry, root, what, options, now_unix_s};
    enum rekor_body_form form = REKOR_BODY_HASHEDREKORD_1;

    if (entry->kind[0] != '\0') {
        GH_TRY(rekor_body_form(entry->kind, entry->version, &form, err));
    }
    return form == REKOR_BODY_HASHEDREKORD_2 ? rekor_check_v2(&check, out, err)
                                             : rekor_check_v1(&check, out, err);
}

/* Causes that say the entry is genuine but not of this evidence; such evidence was tampered with,
 * while an entry that does not verify merely counts for nothing. */
static bool rekor_is_contradiction(enum gh_cause cause)
{
    return cause == GH_TLOG_KIND_MISMATCH || cause == GH_TLOG_SIGNATURE_MISMATCH ||
           cause == GH_TLOG_KEY_MISMATCH || cause == GH_TLOG_DIGEST_MISMATCH ||
           cause == GH_TLOG_ENTRY_TYPE_UNSUPPORTED || cause == GH_TLOG_ENTRY_MALFORMED ||
           cause == GH_INTERNAL_ERROR;
}

static size_t rekor_count_operators(const struct rekor_proof *proofs, size_t count)
{
    size_t distinct = 0;

    for (size_t i = 0; i < count; i++) {
        bool is_new = true;

        for (size_t j = 0; j < i; j++) {
            is_new =
                is_new && !digest_equal(&proofs[i].log->operator_id, &proofs[j].log->operator_id);
        }
        distinct += is_new ? 1 : 0;
    }
    return distinct;
}

static bool rekor_check_duplicates(const struct rekor_entry *entries, size_t count,
                                   struct gh_error *err)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (entries[i].log_index == entries[j].log_index &&
                memcmp(entries[i].log_id, entries[j].log_id, 32) == 0) {
                return gh_fail(err, GH_TLOG_DUPLICATE_ENTRY, "log entries %zu and %zu are the same",
                               j, i);
            }
        }
    }
    return true;
}

bool rekor_verify(const struct rekor_entry *entries, size_t count, const struct trustroot *root,
                  const struct rekor_signed *what, const struct rekor_options *options,
                  int64_t now_unix_s, struct rekor_proof *out, size_t *out_count,
                  struct gh_error *err)
{
    size_t wanted = GH_MAX(options->threshold, (size_t)1);
    struct gh_error first = {0};
    size_t good = 0;
    size_t distinct;

    if (count == 0) {
        return gh_fail(err, GH_TLOG_MISSING, "there is no transparency log entry");
    }
    if (count > REKOR_MAX_ENTRIES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "%zu log entries, limit %d", count,
                       REKOR_MAX_ENTRIES);
    }
    GH_TRY(rekor_check_duplicates(entries, count, err));
    for (size_t i = 0; i < count; i++) {
        struct gh_error failure = {0};

        if (rekor_entry_verify(&entries[i], root, what, options, now_unix_s, &out[good],
                               &failure)) {
            good++;
            continue;
        }
        if (rekor_is_contradiction(failure.cause)) {
            return gh_fail(err, failure.cause, "%s", failure.text);
        }
        if (first.cause == GH_CAUSE_NONE || first.cause == GH_TLOG_LOG_UNKNOWN) {
            first = failure;
        }
    }
    distinct = rekor_count_operators(out, good);
    if (distinct < wanted) {
        return good == 0 ? gh_fail(err, first.cause, "%s", first.text)
                         : gh_fail(err, GH_TLOG_THRESHOLD_NOT_MET,
                                   "%zu distinct logs vouch for the signature, %zu are required",
                                   distinct, wanted);
    }
    *out_count = good;
    return true;
}
