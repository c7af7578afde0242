/* A certificate: DER or PEM, its Fulcio claims, and the precertificate made of it. */
#include "crypto/sct.h"
#include "crypto/x509.h"
#include "crypto/x509_fulcio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GH_OWN(bytes_buf_done) struct bytes_buf tbs = {0};
    GH_OWN(x509_cert_unrefp) struct x509_cert *cert = NULL;
    struct bytes in = bytes_make(data, size);
    struct x509_fulcio fulcio;
    struct x509_view view;
    char text[64];

    if (x509_view_read(in, &view, NULL)) {
        x509_name_describe(view.issuer, text, sizeof(text));
        if (x509_fulcio_read(&view, &fulcio, NULL)) {
            (void)x509_fulcio_claim(&fulcio, "source_repository_uri");
        }
        if (!sct_precert_tbs(&view, &tbs, NULL)) {
            tbs.len = 0;
        }
    }
    if (x509_cert_parse(in, &cert, NULL) || x509_cert_parse_pem(in, &cert, NULL)) {
        (void)x509_cert_fingerprint(cert);
    }
    return 0;
}
