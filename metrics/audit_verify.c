#include "metrics/audit_verify.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/text.h"

bool audit_each_line(const char *path, audit_line_fn fn, void *arg, struct gh_error *err)
{
    FILE *file = fopen(path, "rbe");
    char *line = malloc(AUDIT_MAX_LINE + 1);
    uint64_t offset = 0;
    uint64_t number = 0;
    bool go_on = true;
    bool ok;

    if (file == NULL || line == NULL) {
        (void)gh_fail(err, GH_INTERNAL_ERROR, "cannot read %s: %s", path, strerror(errno));
        free(line);
        if (file != NULL) {
            (void)fclose(file);
        }
        return false;
    }
    while (go_on) {
        size_t len = 0;
        int c = EOF;

        while (len <= AUDIT_MAX_LINE && (c = getc_unlocked(file)) != EOF && c != '\n') {
            line[len++] = (char)c;
        }
        if (c == EOF && len == 0) {
            break;
        }
        go_on = fn(line, len, ++number, offset, c == EOF, arg) && c != EOF;
        offset += len + (c == '\n' ? 1 : 0);
    }
    ok = ferror(file) == 0 ||
         gh_fail(err, GH_INTERNAL_ERROR, "cannot read %s: %s", path, strerror(errno));
    (void)fclose(file);
    free(line);
    return ok;
}

bool audit_verify_begin(struct audit_verify_state *state,
                        const struct audit_verify_options *options, struct gh_error *err)
{
    const char *hash = options->expect;
    char *dash;

    memset(state, 0, sizeof(*state));
    state->options = options;
    if (hash == NULL) {
        return true;
    }
    state->has_expect = true;
    if (strchr(hash, '-') != NULL) {
        state->expect_seq = strtoull(hash, &dash, 10);
        if (*dash != '-' || state->expect_seq == 0) {
            return gh_fail(err, GH_INTERNAL_ERROR, "the expected head is not NUMBER-HASH");
        }
        hash = dash + 1;
    }
    if (!audit_hash_read(hash, strlen(hash), state->expect_hash)) {
        return gh_fail(err, GH_INTERNAL_ERROR,
                       "the expected head is not NUMBER-HASH or HASH of 64 hex digits");
    }
    return true;
}

/* A checkpoint's note must be over the record just before it. */
static bool audit_verify_checkpoint(struct audit_verify_state *state,
                                    const struct audit_record *record, const char *line, size_t len,
                                    struct gh_error *err)
{
    json_t *doc = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    json_t *text = json_object_get(doc, "note");
    struct audit_note note;
    bool ok;

    if (!json_is_string(text)) {
        json_decref(doc);
        return gh_fail(err, GH_SIG_MALFORMED, "the checkpoint holds no note");
    }
    ok = audit_note_read(json_string_value(text), json_string_length(text), state->options->keys,
                         state->options->key_count, &note, err);
    json_decref(doc);
    GH_TRY(ok);
    if (note.size != record->seq - 1 || memcmp(note.root, record->prev, sizeof(note.root)) != 0) {
        return gh_fail(err, GH_DIGEST_MISMATCH,
                       "the checkpoint was signed over record %llu, which is not the one before it",
                       (unsigned long long)note.size);
    }
    state->result.checkpoints++;
    if (state->options->key_count > 0) {
        state->result.signed_seq = note.size;
    }
    return true;
}

static bool audit_verify_chain(struct audit_verify_state *state, const struct audit_record *record,
                               struct gh_error *err)
{
    static const uint8_t none[AUDIT_HASH_BYTES];
    struct audit_verify_result *result = &state->result;

    if (result->records == 0) {
        if (record->seq == 0 ||
            (record->seq == 1 && memcmp(record->prev, none, sizeof(none)) != 0)) {
            return gh_fail(err, GH_DIGEST_MISMATCH, "the first record does not begin a chain");
        }
        result->first_seq = record->seq;
        return true;
    }
    if (record->seq != result->last_seq + 1) {
        return gh_fail(err, GH_DIGEST_MISMATCH,
                       "record %llu stands where %llu belongs: a record was dropped, moved or "
                       "added",
                       (unsigned long long)record->seq, (unsigned long long)result->last_seq + 1);
    }
    if (memcmp(record->prev, result->head, sizeof(record->prev)) != 0) {
        return gh_fail(err, GH_DIGEST_MISMATCH,
                       "record %llu was not written after the record before it: one of the two "
                       "was exchanged",
                       (unsigned long long)record->seq);
    }
    return true;
}

bool audit_verify_line(struct audit_verify_state *state, const char *line, size_t len,
                       struct gh_error *err)
{
    struct audit_verify_result *result = &state->result;
    struct audit_record record;

    GH_TRY(audit_record_read(line, len, &record, err));
    GH_TRY(audit_verify_chain(state, &record, err));
    if (strcmp(record.type, "checkpoint") == 0) {
        GH_TRY(audit_verify_checkpoint(state, &record, line, len, err));
    }
    result->repairs += strcmp(record.type, "repair") == 0 ? 1 : 0;
    result->gaps += strcmp(record.type, "gap") == 0 ? 1 : 0;
    result->records++;
    result->last_seq = record.seq;
    memcpy(result->head, record.hash, sizeof(result->head));
    if (state->has_expect && memcmp(record.hash, state->expect_hash, sizeof(record.hash)) == 0 &&
        (state->expect_seq == 0 || state->expect_seq == record.seq)) {
        state->expect_is_found = true;
    } else if (state->has_expect && state->expect_seq == record.seq) {
        return gh_fail(err, GH_DIGEST_MISMATCH,
                       "record %llu is another than the expected head: the chain was written anew",
                       (unsigned long long)record.seq);
    }
    return true;
}

bool audit_verify_end(struct audit_verify_state *state, struct gh_error *err)
{
    const struct audit_verify_result *result = &state->result;

    if (state->has_expect && !state->expect_is_found) {
        return gh_fail(err, GH_DIGEST_MISMATCH,
                       "the chain ends with record %llu and does not hold the expected head: its "
                       "tail was cut",
                       (unsigned long long)result->last_seq);
    }
    if (state->options->key_count > 0 && result->checkpoints == 0) {
        return gh_fail(err, GH_KEY_UNKNOWN, "the chain holds no signed checkpoint");
    }
    return true;
}

struct audit_verify_file {
    struct audit_verify_state *state;
    size_t index;
    bool is_last;
    struct gh_error *err;
};

static bool audit_verify_on_line(const char *line, size_t len, uint64_t number, uint64_t offset,
                                 bool is_torn, void *arg)
{
    struct audit_verify_file *file = arg;
    struct audit_verify_result *result = &file->state->result;
    struct gh_error why = {0};
    bool ok;

    if (is_torn && file->is_last) {
        result->torn_bytes = len;
        return true;
    }
    ok = is_torn ? gh_fail(&why, GH_SIG_MALFORMED, "the last line of the file has no end")
                 : audit_verify_line(file->state, line, len, &why);
    if (!ok) {
        result->fault.is_found = true;
        result->fault.file = file->index;
        result->fault.line = number;
        result->fault.offset = offset;
        result->fault.seq = result->records > 0 ? result->last_seq + 1 : 0;
        result->fault.error = why;
    }
    return ok;
}

bool audit_verify(const char *const *paths, size_t count,
                  const struct audit_verify_options *options, struct audit_verify_result *result,
                  struct gh_error *err)
{
    struct audit_verify_state state;
    struct gh_error why = {0};

    memset(result, 0, sizeof(*result));
    GH_TRY(audit_verify_begin(&state, options, err));
    for (size_t i = 0; i < count && !state.result.fault.is_found; i++) {
        struct audit_verify_file file = {.state = &state, .index = i, .is_last = i + 1 == count};

        if (!audit_each_line(paths[i], audit_verify_on_line, &file, err)) {
            *result = state.result;
            return false;
        }
    }
    if (!state.result.fault.is_found && !audit_verify_end(&state, &why)) {
        state.result.fault.is_found = true;
        state.result.fault.file = count > 0 ? count - 1 : 0;
        state.result.fault.error = why;
    }
    *result = state.result;
    if (result->fault.is_found) {
        if (result->fault.line > 0) {
            (void)gh_fail(err, result->fault.error.cause, "%s", result->fault.error.text);
            gh_error_at(err, "%s:%llu", paths[result->fault.file],
                        (unsigned long long)result->fault.line);
            return false;
        }
        return gh_fail(err, result->fault.error.cause, "%s", result->fault.error.text);
    }
    return true;
}

/* --- query --- */

static bool audit_field_matches(const json_t *doc, const char *name, const char *value)
{
    char part[128];
    char number[64];
    const char *dot;

    while ((dot = strchr(name, '.')) != NULL) {
        if ((size_t)(dot - name) >= sizeof(part)) {
            return false;
        }
        (void)snprintf(part, sizeof(part), "%.*s", (int)(dot - name), name);
        doc = json_object_get(doc, part);
        name = dot + 1;
    }
    doc = json_object_get(doc, name);
    if (json_is_string(doc)) {
        return strcmp(json_string_value(doc), value) == 0;
    }
    if (json_is_integer(doc)) {
        (void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(doc));
        return strcmp(number, value) == 0;
    }
    return json_is_boolean(doc) && strcmp(json_is_true(doc) ? "true" : "false", value) == 0;
}

/* Times are compared as text: RFC 3339 in UTC with milliseconds sorts as it should. */
static bool audit_time_matches(const struct audit_filter *filter, const char *time)
{
    struct text bound;
    bool ok = true;

    text_init(&bound, 64);
    if (filter->since_unix_ms != 0) {
        text_put_time_ms(&bound, filter->since_unix_ms);
        ok = text_ok(&bound) && strcmp(time, text_cstr(&bound)) >= 0;
    }
    text_clear(&bound);
    if (ok && filter->until_unix_ms != 0) {
        text_put_time_ms(&bound, filter->until_unix_ms);
        ok = text_ok(&bound) && strcmp(time, text_cstr(&bound)) < 0;
    }
    text_done(&bound);
    return ok;
}

bool audit_filter_match(const struct audit_filter *filter, const char *line, size_t len)
{
    struct audit_record record;
    json_t *doc;
    bool ok = true;

    if (!audit_record_read(line, len, &record, NULL) ||
        (filter->type != NULL && strcmp(filter->type, record.type) != 0) ||
        !audit_time_matches(filter, record.time)) {
        return false;
    }
    if (filter->field_count == 0) {
        return true;
    }
    doc = json_loadb(line, len, 0, NULL);
    for (size_t i = 0; ok && i < filter->field_count; i++) {
        ok = audit_field_matches(doc, filter->fields[i].name, filter->fields[i].value);
    }
    json_decref(doc);
    return ok;
}
