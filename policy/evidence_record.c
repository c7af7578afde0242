#include "policy/evidence_record.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/sjson.h"
#include "metrics/error.h"
#include "metrics/text.h"

static void evidence_record_put(struct text *text, const struct evidence_item *item)
{
    char digest[DIGEST_MAX_TEXT];

    digest_format(&item->digest, digest);
    text_printf(text, "{\"kind\":%d", (int)item->kind);
    text_put_key(text, "digest");
    text_put_json(text, digest);
    text_put_key(text, "location");
    text_put_json(text, item->location);
    text_put_key(text, "annotations");
    text_put(text, "{");
    for (size_t i = 0; i < item->annotation_count; i++) {
        text_put_key(text, item->annotations[i].name);
        text_put_json(text, item->annotations[i].value);
    }
    text_put(text, "}}");
}

bool evidence_record_encode(const struct evidence_set *set, struct bytes_buf *out,
                            struct gh_error *err)
{
    GH_OWN(text_done) struct text text;
    bool is_first = true;

    text_init(&text, EVIDENCE_RECORD_MAX_BYTES);
    text_put(&text, "{\"items\":[");
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].kind == EVIDENCE_BROKEN) {
            continue;
        }
        text_put(&text, is_first ? "" : ",");
        evidence_record_put(&text, &set->items[i]);
        is_first = false;
    }
    text_put(&text, "]}");
    if (!text_ok(&text)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the list of evidence is too long to store");
    }
    return bytes_dup(bytes_make(text.data, text.len), out, err);
}

static bool evidence_record_kind_is_known(int64_t kind)
{
    return kind > EVIDENCE_BROKEN && kind <= EVIDENCE_OPENPGP;
}

static bool evidence_record_read_item(const json_t *object, struct evidence_item *item,
                                      struct evidence_annotation **place,
                                      const struct evidence_annotation *end, struct gh_error *err)
{
    json_t *annotations;
    struct bytes text;
    const char *name;
    json_t *value;
    int64_t kind;

    GH_TRY(sjson_get_int(object, "kind", &kind, err));
    GH_TRY(sjson_get_string(object, "digest", &text, err));
    GH_TRY(digest_parse(text, &item->digest, err));
    GH_TRY(sjson_get_string(object, "location", &text, err));
    GH_TRY(sjson_get_object(object, "annotations", &annotations, err));
    if (!evidence_record_kind_is_known(kind)) {
        return gh_fail(err, GH_MALFORMED_JSON, "evidence of kind %lld", (long long)kind);
    }
    item->kind = (enum evidence_kind)kind;
    item->location = (const char *)text.data;
    item->annotations = *place;
    json_object_foreach (annotations, name, value) {
        if (!json_is_string(value) || *place == end) {
            return gh_fail(err, GH_MALFORMED_JSON, "stored annotations are damaged");
        }
        (*place)->name = name;
        (*place)->value = json_string_value(value);
        (*place)++;
        item->annotation_count++;
    }
    return true;
}

static bool evidence_record_read(struct evidence_record *record, struct gh_error *err)
{
    struct evidence_annotation *place;
    size_t annotation_count = 0;
    json_t *list;
    size_t count;

    GH_TRY(sjson_get_array(record->doc, "items", &list, err));
    count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        annotation_count +=
            json_object_size(json_object_get(json_array_get(list, i), "annotations"));
    }
    if (count > EVIDENCE_RECORD_MAX_ITEMS ||
        annotation_count > count * EVIDENCE_RECORD_MAX_ANNOTATIONS) {
        return gh_fail(err, GH_MALFORMED_JSON, "the stored list is too long");
    }
    record->items = calloc(count + 1, sizeof(*record->items));
    record->blobs = calloc(count + 1, sizeof(*record->blobs));
    record->annotations = calloc(annotation_count + 1, sizeof(*record->annotations));
    if (record->items == NULL || record->blobs == NULL || record->annotations == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for stored evidence");
    }
    record->set.items = record->items;
    place = record->annotations;
    for (size_t i = 0; i < count; i++) {
        record->set.count = i + 1;
        GH_TRY(evidence_record_read_item(json_array_get(list, i), &record->items[i], &place,
                                         record->annotations + annotation_count, err));
    }
    return true;
}

bool evidence_record_decode(struct bytes in, struct evidence_record **out, struct gh_error *err)
{
    GH_OWN(evidence_record_freep) struct evidence_record *record = calloc(1, sizeof(*record));
    struct gh_error detail = {0};
    json_t *doc = NULL;

    if (record == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for stored evidence");
    }
    if (!sjson_parse_object(in, EVIDENCE_RECORD_MAX_BYTES, &doc, &detail)) {
        return gh_fail(err, GH_VERDICT_STALE, "stored evidence: %s", detail.text);
    }
    record->doc = doc;
    if (!evidence_record_read(record, &detail)) {
        return gh_fail(err, GH_VERDICT_STALE, "stored evidence: %s", detail.text);
    }
    *out = GH_TAKE(record);
    return true;
}

bool evidence_record_fill(struct evidence_record *record, size_t index, struct bytes_buf *blob,
                          struct gh_error *err)
{
    struct bytes_buf taken = *blob;

    memset(blob, 0, sizeof(*blob));
    if (!digest_check(&record->items[index].digest, bytes_view(&taken), err)) {
        bytes_buf_done(&taken);
        return false;
    }
    bytes_buf_done(&record->blobs[index]);
    record->blobs[index] = taken;
    record->items[index].blob = bytes_view(&record->blobs[index]);
    return true;
}

void evidence_record_free(struct evidence_record *record)
{
    if (record == NULL) {
        return;
    }
    for (size_t i = 0; record->blobs != NULL && i < record->set.count; i++) {
        bytes_buf_done(&record->blobs[i]);
    }
    free(record->blobs);
    free(record->items);
    free(record->annotations);
    json_decref(record->doc);
    free(record);
}
