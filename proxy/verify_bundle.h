/*
 * `gatehouse verify-bundle`: verifies a Sigstore bundle over a file, as the conformance suite for
 * Sigstore clients drives it. It goes through the same core as everything else.
 *
 *     gatehouse verify-bundle [--staging] --bundle FILE --certificate-identity ID
 *                   --certificate-oidc-issuer URL [--trusted-root FILE] FILE_OR_DIGEST
 *     gatehouse verify-bundle [--staging] --bundle FILE --key PEM [--trusted-root FILE]
 *                   FILE_OR_DIGEST
 */
#ifndef PROXY_VERIFY_BUNDLE_H
#define PROXY_VERIFY_BUNDLE_H

#define VERIFY_BUNDLE_MAX_ARTIFACT (1024u * 1024 * 1024)

/* argv[0] is "verify-bundle". Returns the exit status: 0 verified, 1 not, 2 wrong usage. */
int verify_bundle_main(int argc, char **argv);

#endif
