/*
 * Vendors whose verification is built in. A signature names a plugin; nothing outside is ever run
 * for it: what is not built in is refused.
 *
 * AWS Signer (`com.amazonaws.signer.notation.plugin`): scheme notary.x509.signingAuthority, two
 * critical attributes, trusted identities are signing profiles, revocation is asked from the
 * vendor. Azure Key Vault and Trusted Signing need nothing: their plugins only sign.
 */
#ifndef CRYPTO_NOTATION_VENDOR_H
#define CRYPTO_NOTATION_VENDOR_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct evidence_answers;
struct evidence_proof;
struct evidence_wants;
struct gh_error;
struct notation_attribute;
struct notation_chain;
struct notation_envelope;

#define NOTATION_AWS_PLUGIN "com.amazonaws.signer.notation.plugin"
#define NOTATION_AWS_PROFILE "com.amazonaws.signer.signingProfileVersion"
#define NOTATION_AWS_JOB "com.amazonaws.signer.signingJob"
/* The plugin version whose behaviour is built in. */
#define NOTATION_AWS_VERSION "1.0.2292"
#define NOTATION_MAX_VENDOR_ANSWER_BYTES (64u * 1024)

/* Whether the named plugin is built in and checks this attribute. */
bool notation_vendor_reads(const struct notation_envelope *envelope,
                           const struct notation_attribute *attribute);

/* Whether an AWS Signer signature is at hand: its identities and revocation differ. */
bool notation_vendor_is_aws(const struct notation_envelope *envelope);

/*
 * The plugin the envelope names, if any, must be built in, at least as new as asked for, and find
 * what it needs.
 *
 * Fails: NOTATION_PLUGIN_REQUIRED, NOTATION_PLUGIN_FAILED
 */
GH_CHECKED bool notation_vendor_check(const struct notation_envelope *envelope,
                                      struct gh_error *err);

/* A signing-profile ARN, with or without its version. */
bool notation_vendor_is_profile(struct bytes arn);
/* Whether the ARN in a policy covers the signature's profile version: equal to it, or to it without
 * its last segment. Case does not count, as with the vendor. */
bool notation_vendor_profile_matches(struct bytes trusted, struct bytes signing);

/*
 * Ask the vendor whether the profile, the job or a certificate is revoked. Only for a chain that
 * leads to a configured root.
 *
 * Gives: *proof: rests on the answer; false with err->cause zero when the question was added to
 * *wants Fails: REVOCATION_REVOKED, REVOCATION_UNAVAILABLE, NOTATION_PLUGIN_REQUIRED (the vendor
 * cannot be asked here), NOTATION_PLUGIN_FAILED (an answer that lacks what was asked)
 */
GH_CHECKED bool notation_vendor_check_revocation(const struct notation_envelope *envelope,
                                                 const struct notation_chain *chain,
                                                 const struct evidence_answers *answers,
                                                 struct evidence_wants *wants,
                                                 struct evidence_proof *proof,
                                                 struct gh_error *err);

#endif
