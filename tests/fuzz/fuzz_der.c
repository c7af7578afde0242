/* Every typed reader at every offset of arbitrary bytes. */
#include "crypto/der.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    char text[DER_MAX_OID_TEXT];
    struct der_time moment;
    struct der_item item;
    struct bytes part;
    uint16_t bits;
    int64_t value;
    bool flag = false;

    flag = der_check(in, DER_MAX_DEPTH, NULL);
    while (in.len > 0) {
        struct bytes at = in;

        flag = (der_bool(&at, &flag, NULL) || der_int64(&at, &value, NULL) ||
                der_integer(&at, &part, NULL) || der_bits(&at, &part, NULL) ||
                der_named_bits(&at, &bits, NULL) || der_null(&at, NULL) ||
                der_time(&at, &value, NULL) || der_generalized_time(&at, &moment, NULL));
        if (der_oid(&at, &part, NULL)) {
            flag = der_oid_text(part, text, NULL);
        }
        flag = der_next(&at, &item, NULL);
        in = bytes_slice(in, 1, in.len - 1);
    }
    (void)flag;
    return 0;
}
