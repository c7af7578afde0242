#include "cache/verdict_record.h"

#include <string.h>

#include "metrics/error.h"

#define VERDICT_HEAD_BYTES (STORE_MADE_BYTES + 1 + 8 + 4 + 2) /* made, form, until, key, rests */
#define VERDICT_MAC_CONTEXT "verdict"
#define VERDICT_USE_COARSE_S 60

bool verdict_record_read(struct bytes value, struct verdict_record *out)
{
    struct bytes in;
    uint64_t made;
    uint64_t until;
    uint32_t key_len;
    uint16_t rest_count;
    uint8_t form;

    if (value.len < VERDICT_HEAD_BYTES + STORE_MAC_BYTES) {
        return false;
    }
    out->covered = bytes_slice(value, 0, value.len - STORE_MAC_BYTES);
    out->mac = bytes_slice(value, out->covered.len, STORE_MAC_BYTES);
    in = out->covered;
    GH_TRY(bytes_u64be(&in, &made, NULL));
    GH_TRY(bytes_u8(&in, &form, NULL));
    GH_TRY(bytes_u64be(&in, &until, NULL));
    GH_TRY(bytes_u32be(&in, &key_len, NULL));
    GH_TRY(bytes_u16be(&in, &rest_count, NULL));
    if (form != VERDICT_RECORD_FORM || key_len == 0 || key_len > VERDICT_CACHE_MAX_KEY ||
        rest_count > VERDICT_CACHE_MAX_RESTS) {
        return false;
    }
    GH_TRY(bytes_take(&in, key_len, &out->key, NULL));
    GH_TRY(bytes_take(&in, (size_t)rest_count * VERDICT_RECORD_REST_BYTES, &out->rests, NULL));
    if (in.len > VERDICT_CACHE_MAX_VALUE) {
        return false;
    }
    out->value = in;
    out->made_unix_s = (int64_t)made;
    out->until_unix_s = (int64_t)until;
    return true;
}

void verdict_record_put_rest(uint8_t out[VERDICT_RECORD_REST_BYTES],
                             const struct verdict_cache_rest *rest)
{
    out[0] = rest->kind;
    memcpy(out + 1, rest->id, sizeof(rest->id));
}

bool verdict_record_write(const struct store *store, const struct verdict_cache_entry *entry,
                          int64_t now_unix_s, struct bytes_buf *out, struct gh_error *err)
{
    size_t rests = entry->rest_count * VERDICT_RECORD_REST_BYTES;
    uint8_t *at;

    GH_TRY(bytes_buf_alloc(VERDICT_HEAD_BYTES + entry->key.len + rests + entry->value.len +
                               STORE_MAC_BYTES,
                           out, err));
    at = out->data;
    store_put_u64(at, (uint64_t)now_unix_s);
    at[8] = VERDICT_RECORD_FORM;
    store_put_u64(at + 9, (uint64_t)entry->until_unix_s);
    for (int i = 0; i < 4; i++) {
        at[17 + i] = (uint8_t)(entry->key.len >> (24 - 8 * i));
    }
    at[21] = (uint8_t)(entry->rest_count >> 8);
    at[22] = (uint8_t)entry->rest_count;
    at += VERDICT_HEAD_BYTES;
    memcpy(at, entry->key.data, entry->key.len);
    at += entry->key.len;
    for (size_t i = 0; i < entry->rest_count; i++) {
        verdict_record_put_rest(at, &entry->rests[i]);
        at += VERDICT_RECORD_REST_BYTES;
    }
    if (entry->value.len > 0) {
        memcpy(at, entry->value.data, entry->value.len);
    }
    at += entry->value.len;
    store_mac(store, VERDICT_MAC_CONTEXT, bytes_make(out->data, (size_t)(at - out->data)), at);
    return true;
}

bool verdict_record_is_ours(const struct store *store, const struct verdict_record *record)
{
    uint8_t mac[STORE_MAC_BYTES];

    store_mac(store, VERDICT_MAC_CONTEXT, record->covered, mac);
    return bytes_equal_secret(bytes_make(mac, sizeof(mac)), record->mac);
}

/* Remember WHO in a bounded list: a known name's time moves on, else the oldest makes room. */
bool verdict_record_use_who(struct verdict_cache_use *use, const char *who, int64_t at_unix_s)
{
    struct verdict_cache_who *slot = NULL;

    for (size_t i = 0; i < use->who_count; i++) {
        if (strncmp(use->who[i].name, who, VERDICT_CACHE_MAX_WHO_BYTES) == 0) {
            bool is_news = at_unix_s - use->who[i].at_unix_s >= VERDICT_USE_COARSE_S;

            use->who[i].at_unix_s = GH_MAX(use->who[i].at_unix_s, at_unix_s);
            return is_news;
        }
        if (slot == NULL || use->who[i].at_unix_s < slot->at_unix_s) {
            slot = &use->who[i];
        }
    }
    if (use->who_count < VERDICT_CACHE_MAX_WHO) {
        slot = &use->who[use->who_count++];
    } else if (slot->at_unix_s > at_unix_s) {
        return false;
    }
    memset(slot, 0, sizeof(*slot));
    memcpy(slot->name, who, strnlen(who, VERDICT_CACHE_MAX_WHO_BYTES));
    slot->at_unix_s = at_unix_s;
    return true;
}

/* A time before 1970 is damage; refusing it also keeps differences of times within their type. */
static bool verdict_read_time(struct bytes *in, uint64_t *out)
{
    return bytes_u64be(in, out, NULL) && *out <= INT64_MAX;
}

void verdict_record_use_read(struct bytes in, struct verdict_cache_use *use)
{
    uint64_t time;

    if (!verdict_read_time(&in, &time)) {
        return;
    }
    use->last_unix_s = GH_MAX(use->last_unix_s, (int64_t)time);
    while (in.len > 0) {
        char name[VERDICT_CACHE_MAX_WHO_BYTES + 1] = {0};
        uint8_t len;

        if (!verdict_read_time(&in, &time) || !bytes_u8(&in, &len, NULL) ||
            len > VERDICT_CACHE_MAX_WHO_BYTES || !bytes_copy(&in, name, len, NULL)) {
            return;
        }
        (void)verdict_record_use_who(use, name, (int64_t)time);
    }
}

size_t verdict_record_use_write(const struct verdict_cache_use *use,
                                uint8_t out[VERDICT_RECORD_MAX_USE])
{
    size_t at = 8;

    store_put_u64(out, (uint64_t)use->last_unix_s);
    for (size_t i = 0; i < use->who_count; i++) {
        size_t len = strlen(use->who[i].name);

        store_put_u64(out + at, (uint64_t)use->who[i].at_unix_s);
        out[at + 8] = (uint8_t)len;
        memcpy(out + at + 9, use->who[i].name, len);
        at += 9 + len;
    }
    return at;
}
