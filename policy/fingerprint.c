#include "policy/fingerprint.h"

#include "metrics/error.h"

void fingerprint_init(struct fingerprint *fingerprint, const char *label)
{
    struct gh_error ignored = {0};

    fingerprint->stream = NULL;
    fingerprint->is_failed = !digest_stream_new(DIGEST_SHA256, &fingerprint->stream, &ignored);
    fingerprint_put_text(fingerprint, label);
}

static void fingerprint_raw(struct fingerprint *fingerprint, const void *data, size_t len)
{
    struct gh_error ignored = {0};

    if (!fingerprint->is_failed && len > 0 &&
        !digest_stream_update(fingerprint->stream, bytes_make(data, len), &ignored)) {
        fingerprint->is_failed = true;
    }
}

void fingerprint_put(struct fingerprint *fingerprint, struct bytes part)
{
    fingerprint_put_int(fingerprint, (int64_t)part.len);
    fingerprint_raw(fingerprint, part.data, part.len);
}

void fingerprint_put_text(struct fingerprint *fingerprint, const char *text)
{
    if (text == NULL) {
        fingerprint_put_int(fingerprint, -1);
        return;
    }
    fingerprint_put(fingerprint, bytes_of(text));
}

void fingerprint_put_int(struct fingerprint *fingerprint, int64_t value)
{
    uint8_t raw[8];

    for (int i = 0; i < 8; i++) {
        raw[i] = (uint8_t)((uint64_t)value >> (56 - 8 * i));
    }
    fingerprint_raw(fingerprint, raw, sizeof(raw));
}

void fingerprint_put_digest(struct fingerprint *fingerprint, const struct digest *digest)
{
    fingerprint_put_int(fingerprint, digest->alg);
    fingerprint_put(fingerprint, digest_bytes(digest));
}

bool fingerprint_final(struct fingerprint *fingerprint, struct digest *out, struct gh_error *err)
{
    bool is_done = !fingerprint->is_failed && digest_stream_final(fingerprint->stream, out, err);

    digest_stream_free(fingerprint->stream);
    fingerprint->stream = NULL;
    return is_done || gh_fail(err, GH_INTERNAL_ERROR, "no memory for a fingerprint");
}
