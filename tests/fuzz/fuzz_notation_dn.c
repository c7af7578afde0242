/* The first byte chooses: an identity as a policy writes it, or a Name in DER. */
#include "crypto/notation_dn.h"

#include <assert.h>

#include "crypto/notation.h"
#include "metrics/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    struct notation_dn *dn = NULL;
    struct gh_error err = {0};
    bool is_name = size > 0 && data[0] == 0x30;
    bool is_read = is_name ? notation_dn_read(in, &dn, &err) : notation_dn_parse(in, &dn, &err);

    assert(is_read == (err.cause == GH_CAUSE_NONE));
    if (is_read && !is_name && !notation_dn_is_profile(dn)) {
        assert(notation_dn_matches(dn, dn));
    }
    notation_dn_free(dn);
    return 0;
}
