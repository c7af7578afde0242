#include "proxy/probe_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/checkpoint.h"
#include "crypto/digest.h"
#include "crypto/sjson.h"
#include "metrics/text.h"
#include "proxy/tuf_state.h"

#define PROBE_MEMORY_VERSION 1

static const char *const probe_kinds[] = {
    [PROBE_KIND_UNKNOWN] = "unknown",
    [PROBE_KIND_REKOR1] = "rekor-v1",
    [PROBE_KIND_REKOR2] = "rekor-v2",
    [PROBE_KIND_TILED] = "tiled",
};

const char *probe_kind_label(enum probe_kind kind)
{
    return (unsigned)kind < GH_COUNT(probe_kinds) ? probe_kinds[kind] : "unknown";
}

void probe_memory_done(struct probe_memory *memory)
{
    bytes_buf_done(&memory->head);
    bytes_buf_done(&memory->broken);
    memset(memory, 0, sizeof(*memory));
}

static void probe_str_freep(char **string)
{
    free(*string);
}

static bool probe_memory_folder(const char *storage, char **out, struct gh_error *err)
{
    if (asprintf(out, "%s/probe", storage) < 0) {
        *out = NULL;
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    return true;
}

/* Names of roots and addresses of logs are no file names. */
static bool probe_memory_name(const char *key, char out[DIGEST_MAX_TEXT], struct gh_error *err)
{
    struct digest digest;

    GH_TRY(digest_compute(DIGEST_SHA256, bytes_of(key), &digest, err));
    bytes_hex_encode(bytes_slice(digest_bytes(&digest), 0, 16), out);
    (void)snprintf(out + 32, DIGEST_MAX_TEXT - 32, ".json");
    return true;
}

/* ---- text -------------------------------------------------------------------------------- */

static bool probe_memory_get_kind(const json_t *doc, enum probe_kind *out, struct gh_error *err)
{
    struct bytes text;

    GH_TRY(sjson_get_string(doc, "kind", &text, err));
    for (size_t i = 0; i < GH_COUNT(probe_kinds); i++) {
        if (bytes_equal_cstr(text, probe_kinds[i])) {
            *out = (enum probe_kind)i;
            return true;
        }
    }
    return gh_fail(err, GH_VERDICT_STALE, "it names another kind of log");
}

static bool probe_memory_get_alarm(const json_t *doc, struct probe_memory *out,
                                   struct gh_error *err)
{
    json_t *alarm = NULL;
    struct bytes cause, message, note;
    char label[64];

    GH_TRY(sjson_opt_object(doc, "alarm", &alarm, err));
    if (alarm == NULL) {
        return true;
    }
    GH_TRY(sjson_get_string(alarm, "cause", &cause, err));
    GH_TRY(sjson_get_string(alarm, "message", &message, err));
    GH_TRY(sjson_get_string(alarm, "note", &note, err));
    GH_TRY(sjson_get_int(alarm, "since", &out->alarm_unix_s, err));
    (void)snprintf(label, sizeof(label), "%.*s", (int)GH_MIN(cause.len, sizeof(label) - 1),
                   (const char *)cause.data);
    out->alarm.cause = gh_cause_by_label(label);
    if (out->alarm.cause == GH_CAUSE_NONE) {
        return gh_fail(err, GH_VERDICT_STALE, "it names an unknown alarm");
    }
    (void)snprintf(out->alarm.text, sizeof(out->alarm.text), "%.*s",
                   (int)GH_MIN(message.len, sizeof(out->alarm.text) - 1),
                   (const char *)message.data);
    return bytes_dup(note, &out->broken, err);
}

static bool probe_memory_read(struct bytes json, struct probe_memory *out, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    struct checkpoint checkpoint;
    struct bytes head;
    int64_t version;

    GH_TRY(sjson_parse_object(json, PROBE_MEMORY_MAX_BYTES, &doc, err));
    GH_TRY(sjson_get_int(doc, "version", &version, err));
    if (version != PROBE_MEMORY_VERSION) {
        return gh_fail(err, GH_VERDICT_STALE, "another version wrote it");
    }
    GH_TRY(probe_memory_get_kind(doc, &out->kind, err));
    GH_TRY(sjson_get_string(doc, "head", &head, err));
    GH_TRY(sjson_get_int(doc, "seen", &out->seen_unix_s, err));
    GH_TRY(checkpoint_parse(head, &checkpoint, err));
    checkpoint_done(&checkpoint);
    GH_TRY(bytes_dup(head, &out->head, err));
    return probe_memory_get_alarm(doc, out, err);
}

bool probe_memory_parse(struct bytes json, struct probe_memory *out, struct gh_error *err)
{
    struct gh_error failure = {0};

    memset(out, 0, sizeof(*out));
    if (!probe_memory_read(json, out, &failure)) {
        probe_memory_done(out);
        return gh_fail(err,
                       failure.cause == GH_INTERNAL_ERROR ? GH_INTERNAL_ERROR : GH_VERDICT_STALE,
                       "%s", failure.text);
    }
    return true;
}

static void probe_memory_write(struct text *out, const char *key, const struct probe_memory *memory)
{
    text_printf(out, "{\"version\":%d", PROBE_MEMORY_VERSION);
    text_put_key(out, "log"); /* for people who look into the file */
    text_put_json(out, key);
    text_put_key(out, "kind");
    text_put_json(out, probe_kind_label(memory->kind));
    text_put_key(out, "seen");
    text_printf(out, "%lld", (long long)memory->seen_unix_s);
    text_put_key(out, "head");
    text_put_json_bytes(out, memory->head.data, memory->head.len);
    if (memory->alarm.cause != GH_CAUSE_NONE) {
        text_put_key(out, "alarm");
        text_put(out, "{\"cause\":");
        text_put_json(out, gh_cause_label(memory->alarm.cause));
        text_put_key(out, "message");
        text_put_json(out, memory->alarm.text);
        text_put_key(out, "since");
        text_printf(out, "%lld", (long long)memory->alarm_unix_s);
        text_put_key(out, "note");
        text_put_json_bytes(out, memory->broken.data, memory->broken.len);
        text_put(out, "}");
    }
    text_put(out, "}\n");
}

/* ---- files ------------------------------------------------------------------------------- */

bool probe_memory_load(const char *storage, const char *key, struct probe_memory *out,
                       struct gh_error *err)
{
    GH_OWN(tuf_state_closep) struct tuf_state *state = NULL;
    GH_OWN(bytes_buf_done) struct bytes_buf json = {0};
    GH_OWN(probe_str_freep) char *folder = NULL;
    char name[DIGEST_MAX_TEXT];
    bool found = false;

    memset(out, 0, sizeof(*out));
    GH_TRY(probe_memory_folder(storage, &folder, err));
    GH_TRY(probe_memory_name(key, name, err));
    GH_TRY(tuf_state_open(folder, false, &state, err));
    GH_TRY(tuf_state_read(state, name, PROBE_MEMORY_MAX_BYTES, &json, &found, err));
    return !found || probe_memory_parse(bytes_view(&json), out, err);
}

bool probe_memory_store(const char *storage, const char *key, const struct probe_memory *memory,
                        struct gh_error *err)
{
    GH_OWN(tuf_state_closep) struct tuf_state *state = NULL;
    GH_OWN(probe_str_freep) char *folder = NULL;
    char name[DIGEST_MAX_TEXT];
    struct text json;
    bool ok;

    GH_TRY(probe_memory_folder(storage, &folder, err));
    GH_TRY(probe_memory_name(key, name, err));
    GH_TRY(tuf_state_open(folder, false, &state, err));
    text_init(&json, PROBE_MEMORY_MAX_BYTES);
    probe_memory_write(&json, key, memory);
    ok = text_ok(&json) ? tuf_state_store(state, name, bytes_of(text_cstr(&json)), err)
                        : gh_fail(err, GH_INTERNAL_ERROR, "no memory for a tree head");
    text_done(&json);
    return ok;
}
