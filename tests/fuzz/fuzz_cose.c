/* The COSE envelope parser, and the rules that apply to what it gives. */
#include "crypto/cose.h"

#include <assert.h>

#include "crypto/notation_payload.h"
#include "metrics/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct notation_envelope envelope = {0};
    struct notation_payload payload = {0};
    struct gh_error err = {0};

    if (!cose_parse(bytes_make(data, size), &envelope, &err)) {
        assert(err.cause != GH_CAUSE_NONE);
    } else {
        assert(envelope.chain_count > 0 && envelope.signed_input.len > 0);
        if (!notation_envelope_check(&envelope, &err)) {
            assert(err.cause != GH_CAUSE_NONE);
        }
        gh_error_clear(&err);
        if (!notation_payload_read(envelope.payload, &payload, &err)) {
            assert(err.cause != GH_CAUSE_NONE);
        }
    }
    notation_payload_done(&payload);
    notation_envelope_done(&envelope);
    return 0;
}
