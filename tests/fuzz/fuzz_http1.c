/* One buffer as a request head and its body: fed whole and byte by byte, both must agree. */
#include <stdlib.h>
#include <string.h>

#include "proxy/http1_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http1_result fuzz_body(const uint8_t *data, size_t len, size_t step, uint64_t *total)
{
    struct http1_chunked chunked;
    enum http1_result result = HTTP1_MORE;
    size_t at = 0;

    http1_chunked_init(&chunked);
    *total = 0;
    while (at < len && (result == HTTP1_MORE || result == HTTP1_DATA)) {
        size_t consumed;
        struct bytes piece;

        result = http1_chunked_next(&chunked, data + at, GH_MIN(step, len - at), &consumed, &piece);
        at += consumed;
        *total += piece.len;
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http1_head whole;
    struct http1_head bytewise;
    enum http1_result first;
    enum http1_result second = HTTP1_MORE;

    http1_head_init(&whole);
    http1_head_init(&bytewise);
    first = http1_head_feed(&whole, data, size);
    for (size_t len = 1; len <= size && second == HTTP1_MORE; len++) {
        second = http1_head_feed(&bytewise, data, len);
    }
    if (first != second && size > 0) {
        abort();
    }
    if (first == HTTP1_DONE) {
        uint64_t total_whole;
        uint64_t total_bytes;

        if (whole.len != bytewise.len || whole.field_count != bytewise.field_count ||
            (whole.is_chunked && whole.has_content_length) ||
            memchr(http1_head_target(&whole).data, ' ', http1_head_target(&whole).len) != NULL ||
            !http1_host_is_valid(whole.has_host || whole.is_absolute ? http1_head_host(&whole)
                                                                     : BYTES_LITERAL("h"))) {
            abort();
        }
        data += whole.len;
        size -= whole.len;
        if (fuzz_body(data, size, SIZE_MAX, &total_whole) !=
                fuzz_body(data, size, 1, &total_bytes) ||
            total_whole != total_bytes) {
            abort();
        }
    }
    return 0;
}
