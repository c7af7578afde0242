#include "crypto/x509_path.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "crypto/key.h"
#include "crypto/memo.h"
#include "crypto/x509.h"
#include "metrics/error.h"

struct x509_authority {
    struct x509_cert *chain[X509_MAX_PATH];
    size_t count;
    int64_t start_unix_ms;
    int64_t end_unix_ms;
};

/* Whether the names and key ids let ISSUER be the issuer of CERT. */
static bool x509_may_issue(const struct x509_view *issuer, const struct x509_view *cert)
{
    if (!bytes_equal(issuer->subject, cert->issuer)) {
        return false;
    }
    return issuer->subject_key_id.data == NULL || cert->authority_key_id.data == NULL ||
           bytes_equal(issuer->subject_key_id, cert->authority_key_id);
}

bool x509_authority_new(struct x509_cert *const *chain, size_t count, int64_t start_unix_ms,
                        int64_t end_unix_ms, struct x509_authority **out, struct gh_error *err)
{
    GH_OWN(x509_authority_freep) struct x509_authority *authority = NULL;

    if (count == 0 || count >= X509_MAX_PATH) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                       "an authority has %zu certificates, 1 to %d are accepted", count,
                       X509_MAX_PATH - 1);
    }
    for (size_t i = 0; i + 1 < count; i++) {
        if (!x509_may_issue(x509_cert_view(chain[i + 1]), x509_cert_view(chain[i]))) {
            return gh_fail(err, GH_CERT_CHAIN_UNTRUSTED,
                           "certificate %zu of an authority was not issued by the next", i);
        }
        GH_TRY(x509_check_signed(x509_cert_view(chain[i]), x509_cert_key(chain[i + 1]), err));
    }
    authority = calloc(1, sizeof(*authority));
    if (authority == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        authority->chain[i] = x509_cert_ref(chain[i]);
    }
    authority->count = count;
    authority->start_unix_ms = start_unix_ms;
    authority->end_unix_ms = end_unix_ms;
    *out = GH_TAKE(authority);
    return true;
}

void x509_authority_free(struct x509_authority *authority)
{
    if (authority == NULL) {
        return;
    }
    for (size_t i = 0; i < authority->count; i++) {
        x509_cert_unref(authority->chain[i]);
    }
    free(authority);
}

size_t x509_authority_count(const struct x509_authority *authority)
{
    return authority->count;
}

const struct x509_cert *x509_authority_cert(const struct x509_authority *authority, size_t index)
{
    return index < authority->count ? authority->chain[index] : NULL;
}

bool x509_authority_covers(const struct x509_authority *authority, int64_t unix_ms)
{
    return authority->start_unix_ms <= unix_ms && unix_ms <= authority->end_unix_ms;
}

/* ---- checks of one candidate path -------------------------------------------------------- */

static bool x509_check_leaf_use(const struct x509_view *leaf, enum x509_use use,
                                struct gh_error *err)
{
    if (use == X509_USE_ANY) {
        return true;
    }
    if (leaf->is_ca) {
        return gh_fail(err, GH_CERT_USAGE_INVALID, "the signing certificate is an authority's");
    }
    if (leaf->has_key_usage && (leaf->key_usage & X509_KU_DIGITAL_SIGNATURE) == 0) {
        return gh_fail(err, GH_CERT_USAGE_INVALID,
                       "the certificate's key usage lacks digitalSignature");
    }
    if (use == X509_USE_TIME_STAMPING) {
        if (!leaf->is_ext_key_usage_critical || leaf->ext_key_usage != X509_EKU_TIME_STAMPING ||
            leaf->ext_key_usage_count != 1) {
            return gh_fail(err, GH_CERT_USAGE_INVALID,
                           "the certificate's extended key usage is not timeStamping alone and "
                           "critical");
        }
        return true;
    }
    if (!leaf->has_key_usage) {
        return gh_fail(err, GH_CERT_USAGE_INVALID, "the certificate has no key usage");
    }
    if ((leaf->ext_key_usage & X509_EKU_CODE_SIGNING) == 0 ||
        (leaf->ext_key_usage & X509_EKU_ANY) != 0) {
        return gh_fail(err, GH_CERT_USAGE_INVALID,
                       "the certificate's extended key usage does not single out codeSigning");
    }
    return true;
}

static bool x509_check_ca(const struct x509_view *ca, size_t below, enum x509_use use,
                          struct gh_error *err)
{
    uint32_t wanted = use == X509_USE_CODE_SIGNING ? X509_EKU_CODE_SIGNING
                                                   : X509_EKU_TIME_STAMPING | X509_EKU_ANY;

    if (!ca->has_basic_constraints || !ca->is_ca) {
        return gh_fail(err, GH_CERT_USAGE_INVALID,
                       "a certificate of the path issued another one but is no authority");
    }
    if (ca->has_key_usage && (ca->key_usage & X509_KU_KEY_CERT_SIGN) == 0) {
        return gh_fail(err, GH_CERT_USAGE_INVALID, "an authority's key usage lacks keyCertSign");
    }
    if (ca->path_len >= 0 && below > (size_t)ca->path_len) {
        return gh_fail(err, GH_CERT_USAGE_INVALID,
                       "an authority allows %lld others below it, there are %zu",
                       (long long)ca->path_len, below);
    }
    if (use != X509_USE_ANY && ca->has_ext_key_usage && (ca->ext_key_usage & wanted) == 0) {
        return gh_fail(err, GH_CERT_USAGE_INVALID,
                       "an authority's extended key usage does not allow what the leaf does");
    }
    return true;
}

static bool x509_check_usages(const struct x509_path *path, enum x509_use use, struct gh_error *err)
{
    size_t below = 0;

    GH_TRY(x509_check_leaf_use(x509_cert_view(path->certs[0]), use, err));
    for (size_t i = 1; i < path->count; i++) {
        GH_TRY(x509_check_ca(x509_cert_view(path->certs[i]), below, use, err));
        below += x509_cert_is_self_issued(path->certs[i]) ? 0 : 1;
    }
    return true;
}

static void x509_freep(X509 **x509)
{
    X509_free(*x509);
    *x509 = NULL;
}

static void x509_name_constraints_freep(NAME_CONSTRAINTS **constraints)
{
    NAME_CONSTRAINTS_free(*constraints);
    *constraints = NULL;
}

/* The constraints of certificate CA on all that stands below it in the path. */
static bool x509_check_constraints_of(const struct x509_path *path, size_t ca, struct gh_error *err)
{
    GH_OWN(x509_name_constraints_freep) NAME_CONSTRAINTS *constraints = NULL;
    GH_OWN(x509_freep) X509 *issuer = NULL;

    GH_TRY(x509_cert_to_openssl(path->certs[ca], &issuer, err));
    constraints = X509_get_ext_d2i(issuer, NID_name_constraints, NULL, NULL);
    if (constraints == NULL) {
        ERR_clear_error();
        return gh_fail(err, GH_CERT_MALFORMED, "an authority's name constraints cannot be read");
    }
    for (size_t i = 0; i < ca; i++) {
        GH_OWN(x509_freep) X509 *cert = NULL;
        int answer;

        if (i > 0 && x509_cert_is_self_issued(path->certs[i])) {
            continue; /* RFC 5280 section 6.1.3 (b), (c) */
        }
        GH_TRY(x509_cert_to_openssl(path->certs[i], &cert, err));
        /* Without this call OpenSSL has not looked at the alternative names yet and would compare
         * none of them. */
        if (X509_check_purpose(cert, -1, 0) != 1) {
            ERR_clear_error();
            return gh_fail(err, GH_CERT_MALFORMED, "a certificate's extensions cannot be read");
        }
        answer = NAME_CONSTRAINTS_check(cert, constraints);
        ERR_clear_error();
        if (answer != X509_V_OK) {
            return gh_fail(err, GH_CERT_CHAIN_UNTRUSTED,
                           "an authority's name constraints exclude certificate %zu", i);
        }
    }
    return true;
}

static bool x509_check_constraints(const struct x509_path *path, struct gh_error *err)
{
    for (size_t i = 1; i < path->count; i++) {
        if (x509_cert_view(path->certs[i])->has_name_constraints) {
            GH_TRY(x509_check_constraints_of(path, i, err));
        }
    }
    return true;
}

static bool x509_is_valid_at(const struct x509_cert *cert, int64_t unix_s)
{
    const struct x509_view *view = x509_cert_view(cert);

    return view->not_before_unix_s <= unix_s && unix_s <= view->not_after_unix_s;
}

static bool x509_check_leaf_times(const struct x509_path_input *input, struct gh_error *err)
{
    const struct x509_view *leaf = x509_cert_view(input->leaf);

    for (size_t i = 0; i < input->time_count; i++) {
        if (!x509_is_valid_at(input->leaf, input->times_unix_s[i])) {
            return gh_fail(err, GH_CERT_NOT_VALID_AT_TIME,
                           "the certificate is valid from %lld to %lld, the proved time is %lld",
                           (long long)leaf->not_before_unix_s, (long long)leaf->not_after_unix_s,
                           (long long)input->times_unix_s[i]);
        }
    }
    return true;
}

static bool x509_covers_second(const struct x509_authority *authority, int64_t unix_s)
{
    if (unix_s > INT64_MAX / 1000 || unix_s < INT64_MIN / 1000) {
        return false;
    }
    return x509_authority_covers(authority, unix_s * 1000);
}

static bool x509_check_ca_times(const struct x509_path_input *input, const struct x509_path *path,
                                struct gh_error *err)
{
    for (size_t i = 0; i < input->time_count; i++) {
        int64_t at = input->times_unix_s[i];

        if (!x509_covers_second(input->authorities[path->authority], at)) {
            return gh_fail(err, GH_CERT_CA_WINDOW,
                           "the trust root does not vouch for the authority at %lld",
                           (long long)at);
        }
        for (size_t j = 1; j < path->count; j++) {
            if (!x509_is_valid_at(path->certs[j], at)) {
                return gh_fail(err, GH_CERT_CA_WINDOW,
                               "certificate %zu of the path was not valid at %lld", j,
                               (long long)at);
            }
        }
    }
    return true;
}

/* ---- search ------------------------------------------------------------------------------ */

struct x509_search {
    const struct x509_path_input *input;
    struct x509_path path;
    const struct x509_cert *leaf_signer; /* the one known to have signed the leaf */
    unsigned checks;                     /* signatures verified so far */
    unsigned best_rank;
    struct gh_error best;
};

static unsigned x509_rank(enum gh_cause cause)
{
    if (cause == GH_CERT_CA_WINDOW) {
        return 5;
    }
    if (cause == GH_CERT_NOT_VALID_AT_TIME) {
        return 4;
    }
    if (cause == GH_CERT_USAGE_INVALID) {
        return 3;
    }
    return cause == GH_CERT_CHAIN_UNTRUSTED ? 1 : 2;
}

static void x509_note(struct x509_search *search, const struct gh_error *failure)
{
    unsigned rank = x509_rank(failure->cause);

    if (rank > search->best_rank) {
        search->best_rank = rank;
        search->best = *failure;
    }
}

static bool x509_link_holds(struct x509_search *search, const struct x509_cert *cert,
                            const struct x509_cert *issuer)
{
    bool is_leaf = cert == search->input->leaf;
    struct gh_error failure = {0};
    struct digest name = {0};

    if (!x509_may_issue(x509_cert_view(issuer), x509_cert_view(cert))) {
        return false;
    }
    if (is_leaf && search->leaf_signer != NULL && x509_cert_equal(search->leaf_signer, issuer)) {
        return true;
    }
    /* A leaf is new every time; what lies above it repeats. */
    if (!is_leaf || search->input->is_leaf_remembered) {
        struct bytes parts[] = {digest_bytes(x509_cert_fingerprint(cert)),
                                digest_bytes(x509_cert_fingerprint(issuer))};

        if (memo_name("x509 link", parts, GH_COUNT(parts), &name, NULL) &&
            memo_has(search->input->memo, &name)) {
            return true;
        }
    }
    if (++search->checks > X509_MAX_SIGNATURE_CHECKS) {
        (void)gh_fail(&failure, GH_COUNT_LIMIT_EXCEEDED, "the path search is too long");
        x509_note(search, &failure);
        return false;
    }
    if (!x509_check_signed(x509_cert_view(cert), x509_cert_key(issuer), &failure)) {
        x509_note(search, &failure);
        return false;
    }
    if (is_leaf) {
        search->leaf_signer = issuer;
    }
    if (name.alg != DIGEST_NONE) {
        memo_add(search->input->memo, &name);
    }
    return true;
}

static bool x509_judge(struct x509_search *search)
{
    const struct x509_path_input *input = search->input;
    struct gh_error failure = {0};

    if (x509_check_usages(&search->path, input->use, &failure) &&
        x509_check_constraints(&search->path, &failure) && x509_check_leaf_times(input, &failure) &&
        x509_check_ca_times(input, &search->path, &failure)) {
        return true;
    }
    x509_note(search, &failure);
    return false;
}

/* Append the authority's certificates from FIRST on and judge the whole. */
static bool x509_finish(struct x509_search *search, size_t authority, size_t first)
{
    const struct x509_authority *vouching = search->input->authorities[authority];
    size_t before = search->path.count;

    if (vouching->count - first > X509_MAX_PATH - before) {
        return false;
    }
    for (size_t i = first; i < vouching->count; i++) {
        search->path.certs[search->path.count++] = vouching->chain[i];
    }
    search->path.authority = authority;
    if (x509_judge(search)) {
        return true;
    }
    search->path.count = before;
    return false;
}

static bool x509_try_authority(struct x509_search *search, size_t authority)
{
    const struct x509_authority *vouching = search->input->authorities[authority];
    const struct x509_cert *last = search->path.certs[search->path.count - 1];

    for (size_t i = 0; i < vouching->count; i++) {
        if (x509_cert_equal(last, vouching->chain[i])) {
            return x509_finish(search, authority, i + 1);
        }
    }
    for (size_t i = 0; i < vouching->count; i++) {
        if (x509_link_holds(search, last, vouching->chain[i]) &&
            x509_finish(search, authority, i)) {
            return true;
        }
    }
    return false;
}

static bool x509_is_in_path(const struct x509_path *path, const struct x509_cert *cert)
{
    for (size_t i = 0; i < path->count; i++) {
        if (x509_cert_equal(path->certs[i], cert)) {
            return true;
        }
    }
    return false;
}

/* Recursion is bounded by X509_MAX_PATH, the work by X509_MAX_SIGNATURE_CHECKS. */
static bool x509_extend(struct x509_search *search)
{
    const struct x509_path_input *input = search->input;
    const struct x509_cert *last = search->path.certs[search->path.count - 1];

    for (size_t i = 0; i < input->authority_count; i++) {
        if (x509_try_authority(search, i)) {
            return true;
        }
    }
    if (search->path.count == X509_MAX_PATH) {
        return false;
    }
    for (size_t i = 0; i < input->hint_count; i++) {
        const struct x509_cert *hint = input->hints[i];

        if (!x509_is_in_path(&search->path, hint) && x509_cert_view(hint)->is_ca &&
            x509_link_holds(search, last, hint)) {
            search->path.certs[search->path.count++] = hint;
            if (x509_extend(search)) {
                return true;
            }
            search->path.count--;
        }
    }
    return false;
}

bool x509_path_verify(const struct x509_path_input *input, struct x509_path *out,
                      struct gh_error *err)
{
    struct x509_search search = {.input = input};

    if (input->time_count == 0) {
        return gh_fail(err, GH_TIME_SOURCE_MISSING,
                       "no time is proved at which the certificate could be judged");
    }
    if (input->hint_count > X509_MAX_HINTS || input->time_count > X509_MAX_TIMES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                       "%zu certificates and %zu times, limits %d and %d", input->hint_count,
                       input->time_count, X509_MAX_HINTS, X509_MAX_TIMES);
    }
    search.path.certs[0] = input->leaf;
    search.path.count = 1;
    if (!x509_extend(&search)) {
        if (search.best_rank == 0) {
            char issuer[96];

            x509_name_describe(x509_cert_view(input->leaf)->issuer, issuer, sizeof(issuer));
            return gh_fail(err, GH_CERT_CHAIN_UNTRUSTED,
                           "no trusted authority issued it; it "
                           "names %s",
                           issuer);
        }
        return gh_fail(err, search.best.cause, "%s", search.best.text);
    }
    *out = search.path;
    return true;
}

int64_t x509_path_until(const struct x509_path *path)
{
    int64_t until = INT64_MAX;

    for (size_t i = 0; i < path->count; i++) {
        until = GH_MIN(until, x509_cert_view(path->certs[i])->not_after_unix_s);
    }
    return until;
}
