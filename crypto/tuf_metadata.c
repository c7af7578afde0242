#include "crypto/tuf_metadata.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/rfc3339.h"
#include "crypto/sjson.h"
#include "crypto/tuf_canonical.h"

static const char *const metadata_type_names[] = {
    [TUF_ROOT] = "root",
    [TUF_TIMESTAMP] = "timestamp",
    [TUF_SNAPSHOT] = "snapshot",
    [TUF_TARGETS] = "targets",
};

/* In the order of enum tuf_type; a delegation may not take one of these names. */
#define METADATA_TOP_ROLES 4

size_t tuf_metadata_limit(enum tuf_type type)
{
    switch (type) {
    case TUF_ROOT:
        return TUF_MAX_ROOT_BYTES;
    case TUF_TIMESTAMP:
        return TUF_MAX_TIMESTAMP_BYTES;
    case TUF_SNAPSHOT:
        return TUF_MAX_SNAPSHOT_BYTES;
    case TUF_TARGETS:
        return TUF_MAX_TARGETS_BYTES;
    }
    return 0;
}

static bool metadata_is_top_name(const char *name)
{
    for (size_t i = 0; i < METADATA_TOP_ROLES; i++) {
        if (strcmp(name, metadata_type_names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool metadata_read_keys(struct tuf_metadata *md, const json_t *keys, struct gh_error *err)
{
    size_t count = json_object_size(keys);
    const char *id;
    json_t *value;

    if (count > TUF_MAX_KEYS) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "TUF metadata holds %zu keys, at most %d", count,
                       TUF_MAX_KEYS);
    }
    md->keys = calloc(count + 1, sizeof(*md->keys));
    if (md->keys == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    json_object_foreach ((json_t *)keys, id, value) {
        GH_TRY(tuf_key_read(id, value, &md->keys[md->key_count], err));
        md->key_count++;
    }
    return true;
}

/* Key ids and threshold of a role: without at least one key, or with a threshold that nothing has
 * to reach, anybody could speak for it. */
static bool metadata_read_signers(const json_t *object, struct tuf_role *role, struct gh_error *err)
{
    json_t *ids;
    int64_t threshold;

    if (!sjson_get_array(object, "keyids", &ids, err) ||
        !sjson_get_int(object, "threshold", &threshold, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    if (threshold < 1 || json_array_size(ids) == 0) {
        return gh_fail(err, GH_TUF_SIGNATURE_THRESHOLD,
                       "a role asks for %lld signatures of %zu keys; at least one of one is needed",
                       (long long)threshold, json_array_size(ids));
    }
    if (json_array_size(ids) > TUF_MAX_ROLE_KEYS) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "a role lists more than %d keys",
                       TUF_MAX_ROLE_KEYS);
    }
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));

        if (id == NULL) {
            return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "a role's key id is not a string");
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(id, json_string_value(json_array_get(ids, j))) == 0) {
                return gh_fail(err, GH_TUF_SIGNATURE_THRESHOLD, "a role lists the key id %s twice",
                               id);
            }
        }
    }
    role->key_ids = ids;
    role->threshold = (size_t)threshold;
    return true;
}

static bool metadata_read_root(struct tuf_metadata *md, struct gh_error *err)
{
    json_t *keys, *roles, *role;

    if (!sjson_opt_bool(md->body, "consistent_snapshot", false, &md->is_consistent, err) ||
        !sjson_get_object(md->body, "keys", &keys, err) ||
        !sjson_get_object(md->body, "roles", &roles, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    GH_TRY(metadata_read_keys(md, keys, err));
    md->roles = calloc(METADATA_TOP_ROLES, sizeof(*md->roles));
    if (md->roles == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < METADATA_TOP_ROLES; i++) {
        if (!sjson_get_object(roles, metadata_type_names[i], &role, err)) {
            return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
        }
        md->roles[i].name = metadata_type_names[i];
        GH_TRY(metadata_read_signers(role, &md->roles[i], err));
        md->role_count++;
    }
    return true;
}

static bool metadata_check_hashes(const json_t *hashes, struct gh_error *err)
{
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)hashes, name, value) {
        if (!json_is_string(value)) {
            return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "hash '%s' is not a string", name);
        }
    }
    return true;
}

/* Read an entry and check its form. Targets have no version and must have length and hashes. */
static bool metadata_read_file(const json_t *entry, bool is_target, struct tuf_file *out,
                               struct gh_error *err)
{
    struct tuf_file file = {.version = 1, .length = -1};
    json_t *hashes = NULL;

    if (!json_is_object(entry) ||
        (!is_target && !sjson_get_int(entry, "version", &file.version, err)) ||
        !sjson_opt_int(entry, "length", -1, &file.length, err) ||
        !sjson_opt_object(entry, "hashes", &hashes, err)) {
        (void)gh_fail(err, GH_TRUST_ROOT_MALFORMED, "a file's entry is not an object");
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    file.has_length = json_object_get(entry, "length") != NULL;
    file.hashes = json_object_size(hashes) > 0 ? hashes : NULL;
    if (file.version < 1 || (file.has_length && file.length < 0) ||
        (is_target && (!file.has_length || file.hashes == NULL))) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                       "a file's entry lacks its %s, or has one below its minimum",
                       is_target ? "length or hashes" : "version");
    }
    GH_TRY(metadata_check_hashes(hashes, err));
    *out = file;
    return true;
}

static bool metadata_read_meta(struct tuf_metadata *md, const char *required, struct gh_error *err)
{
    struct tuf_file file;
    const char *name;
    json_t *meta, *value;

    if (!sjson_get_object(md->body, "meta", &meta, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    json_object_foreach (meta, name, value) {
        if (!metadata_read_file(value, false, &file, err)) {
            gh_error_at(err, "meta '%.60s'", name);
            return false;
        }
    }
    if (json_object_get(meta, required) == NULL) {
        return gh_fail(err, GH_TUF_MIX_MATCH, "%s metadata does not list %s",
                       metadata_type_names[md->type], required);
    }
    return true;
}

static bool metadata_check_strings(const json_t *array, struct gh_error *err)
{
    if (json_array_size(array) > TUF_MAX_PATTERNS) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "a role has more than %d patterns",
                       TUF_MAX_PATTERNS);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);

        if (!json_is_string(value) || json_string_length(value) > TUF_PATH_MAX_BYTES) {
            return gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                           "a role's pattern is no string of %d bytes", TUF_PATH_MAX_BYTES);
        }
    }
    return true;
}

static bool metadata_read_delegation(const json_t *object, struct tuf_role *role,
                                     struct gh_error *err)
{
    json_t *paths, *prefixes;
    struct bytes name;

    if (!sjson_get_string(object, "name", &name, err) ||
        !sjson_get_bool(object, "terminating", &role->is_terminating, err) ||
        !sjson_opt_array(object, "paths", &paths, err) ||
        !sjson_opt_array(object, "path_hash_prefixes", &prefixes, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    role->name = (const char *)name.data;
    if (name.len == 0 || name.len > TUF_ROLE_MAX_BYTES || metadata_is_top_name(role->name)) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "'%.60s' cannot name a delegated role",
                       role->name);
    }
    if ((paths == NULL) == (prefixes == NULL)) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                       "role '%.60s' needs either paths or path_hash_prefixes", role->name);
    }
    GH_TRY(metadata_check_strings(paths != NULL ? paths : prefixes, err));
    role->paths = paths;
    role->hash_prefixes = prefixes;
    return metadata_read_signers(object, role, err);
}

static bool metadata_read_delegations(struct tuf_metadata *md, const json_t *roles,
                                      struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *names = json_object();
    size_t count = json_array_size(roles);

    if (count > TUF_MAX_ROLES) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED,
                       "TUF metadata delegates to %zu roles, at most %d", count, TUF_MAX_ROLES);
    }
    md->roles = calloc(count + 1, sizeof(*md->roles));
    if (md->roles == NULL || names == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        struct tuf_role *role = &md->roles[i];

        GH_TRY(metadata_read_delegation(json_array_get(roles, i), role, err));
        if (json_object_get(names, role->name) != NULL) {
            return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "role '%.60s' is delegated to twice",
                           role->name);
        }
        if (json_object_set_new(names, role->name, json_true()) != 0) {
            return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
        }
        md->role_count++;
    }
    return true;
}

static bool metadata_read_bins(struct tuf_metadata *md, const json_t *succinct,
                               struct gh_error *err)
{
    struct bytes prefix;
    int64_t bits;

    if (!sjson_get_string(succinct, "name_prefix", &prefix, err) ||
        !sjson_get_int(succinct, "bit_length", &bits, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    if (bits < 1 || bits > TUF_BIN_MAX_BITS || prefix.len == 0 || prefix.len > TUF_ROLE_MAX_BYTES) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                       "hash bins of %lld bits, wanted 1 to %d and a name prefix", (long long)bits,
                       TUF_BIN_MAX_BITS);
    }
    md->bin_bits = (unsigned)bits;
    md->bin_prefix = (const char *)prefix.data;
    return metadata_read_signers(succinct, &md->bins, err);
}

static bool metadata_read_targets(struct tuf_metadata *md, struct gh_error *err)
{
    json_t *targets, *delegations, *keys, *roles, *succinct, *value;
    struct tuf_file file;
    const char *name;

    if (!sjson_get_object(md->body, "targets", &targets, err) ||
        !sjson_opt_object(md->body, "delegations", &delegations, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    json_object_foreach (targets, name, value) {
        if (!metadata_read_file(value, true, &file, err)) {
            gh_error_at(err, "target '%.60s'", name);
            return false;
        }
    }
    if (delegations == NULL) {
        return true;
    }
    if (!sjson_get_object(delegations, "keys", &keys, err) ||
        !sjson_opt_array(delegations, "roles", &roles, err) ||
        !sjson_opt_object(delegations, "succinct_roles", &succinct, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    if ((roles == NULL) == (succinct == NULL)) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                       "delegations need either roles or succinct_roles");
    }
    GH_TRY(metadata_read_keys(md, keys, err));
    return roles != NULL ? metadata_read_delegations(md, roles, err)
                         : metadata_read_bins(md, succinct, err);
}

static bool metadata_check_signatures(const json_t *signatures, struct gh_error *err)
{
    size_t count = json_array_size(signatures);

    if (count > TUF_MAX_SIGNATURES) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "TUF metadata has %zu signatures, at most %d",
                       count, TUF_MAX_SIGNATURES);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(signatures, i);
        const char *id = json_string_value(json_object_get(entry, "keyid"));

        if (id == NULL || !json_is_string(json_object_get(entry, "sig"))) {
            return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "a signature lacks its keyid or sig");
        }
        for (size_t j = 0; j < i; j++) {
            const json_t *other = json_array_get(signatures, j);

            if (strcmp(id, json_string_value(json_object_get(other, "keyid"))) == 0) {
                return gh_fail(err, GH_TUF_SIGNATURE_THRESHOLD,
                               "key id %.64s signs the metadata twice", id);
            }
        }
    }
    return true;
}

/* What every role has: type, specification, version, end. */
static bool metadata_read_common(struct tuf_metadata *md, struct gh_error *err)
{
    json_t *signatures;
    struct bytes type, spec, expires;

    if (!sjson_get_array(md->doc, "signatures", &signatures, err) ||
        !sjson_get_object(md->doc, "signed", &md->body, err) ||
        !sjson_get_string(md->body, "_type", &type, err) ||
        !sjson_get_string(md->body, "spec_version", &spec, err) ||
        !sjson_get_int(md->body, "version", &md->version, err) ||
        !sjson_get_string(md->body, "expires", &expires, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    if (!bytes_equal_cstr(type, metadata_type_names[md->type])) {
        return gh_fail(err, GH_TUF_MIX_MATCH, "wanted %s metadata, found '%.40s'",
                       metadata_type_names[md->type], (const char *)type.data);
    }
    if (!bytes_equal_cstr(spec, "1") && !bytes_starts_with(spec, BYTES_LITERAL("1."))) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "TUF specification '%.20s', wanted 1.x",
                       (const char *)spec.data);
    }
    if (md->version < 1 || !rfc3339_parse(expires, &md->expires_unix_s)) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                       "version %lld or end '%.40s' of the %s metadata is not valid",
                       (long long)md->version, (const char *)expires.data,
                       metadata_type_names[md->type]);
    }
    return metadata_check_signatures(signatures, err);
}

static bool metadata_fill(struct tuf_metadata *md, struct bytes in, struct gh_error *err)
{
    if (!sjson_parse_object(in, tuf_metadata_limit(md->type), &md->doc, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    GH_TRY(bytes_dup(in, &md->bytes, err));
    GH_TRY(metadata_read_common(md, err));
    switch (md->type) {
    case TUF_ROOT:
        return metadata_read_root(md, err);
    case TUF_TIMESTAMP:
        return metadata_read_meta(md, "snapshot.json", err);
    case TUF_SNAPSHOT:
        return metadata_read_meta(md, "targets.json", err);
    case TUF_TARGETS:
        return metadata_read_targets(md, err);
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "TUF metadata of no known type");
}

bool tuf_metadata_read(enum tuf_type type, struct bytes in, struct tuf_metadata **out,
                       struct gh_error *err)
{
    GH_OWN(tuf_metadata_freep) struct tuf_metadata *md = NULL;

    if (in.len > tuf_metadata_limit(type)) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "%s metadata of %zu bytes, at most %zu",
                       metadata_type_names[type], in.len, tuf_metadata_limit(type));
    }
    md = calloc(1, sizeof(*md));
    if (md == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    md->type = type;
    GH_TRY(metadata_fill(md, in, err));
    *out = GH_TAKE(md);
    return true;
}

void tuf_metadata_free(struct tuf_metadata *metadata)
{
    if (metadata == NULL) {
        return;
    }
    for (size_t i = 0; i < metadata->key_count; i++) {
        tuf_key_done(&metadata->keys[i]);
    }
    free(metadata->keys);
    free(metadata->roles);
    bytes_buf_done(&metadata->bytes);
    json_decref(metadata->doc);
    free(metadata);
}

static const struct tuf_key *metadata_key(const struct tuf_metadata *md, const char *id)
{
    for (size_t i = 0; i < md->key_count; i++) {
        if (strcmp(md->keys[i].id, id) == 0) {
            return &md->keys[i];
        }
    }
    return NULL;
}

static bool metadata_role_has(const struct tuf_role *role, const char *id)
{
    for (size_t i = 0; i < json_array_size(role->key_ids); i++) {
        if (strcmp(json_string_value(json_array_get(role->key_ids, i)), id) == 0) {
            return true;
        }
    }
    return false;
}

bool tuf_metadata_verify(const struct tuf_metadata *delegator, const struct tuf_role *role,
                         const struct tuf_metadata *document, struct gh_error *err)
{
    const json_t *signatures = json_object_get(document->doc, "signatures");
    GH_OWN(bytes_buf_done) struct bytes_buf message = {0};
    struct digest counted[TUF_MAX_SIGNATURES];
    size_t count = 0;
    bool is_id_wrong = false;

    GH_TRY(tuf_canonical_encode(document->body, &message, err));
    for (size_t i = 0; i < json_array_size(signatures); i++) {
        const json_t *entry = json_array_get(signatures, i);
        const char *id = json_string_value(json_object_get(entry, "keyid"));
        const struct tuf_key *key =
            metadata_role_has(role, id) ? metadata_key(delegator, id) : NULL;
        bool is_new = key != NULL;

        is_id_wrong = is_id_wrong || (key != NULL && key->is_id_wrong);
        /* one key under two ids is still one key */
        for (size_t j = 0; j < count && is_new; j++) {
            is_new = !digest_equal(&counted[j], &key->material);
        }
        if (is_new && tuf_key_verify(key, bytes_view(&message),
                                     sjson_string(json_object_get(entry, "sig")))) {
            counted[count++] = key->material;
        }
    }
    if (count < role->threshold) {
        return gh_fail(err, is_id_wrong ? GH_TUF_KEYID_MISMATCH : GH_TUF_SIGNATURE_THRESHOLD,
                       "%s metadata version %lld has %zu valid signatures of distinct keys of its "
                       "role, %zu are needed",
                       metadata_type_names[document->type], (long long)document->version, count,
                       role->threshold);
    }
    return true;
}

static bool metadata_entry(const json_t *object, const char *name, bool is_target,
                           struct tuf_file *out)
{
    const json_t *entry = json_object_get(object, name);

    return entry != NULL && metadata_read_file(entry, is_target, out, NULL);
}

bool tuf_metadata_meta(const struct tuf_metadata *metadata, const char *file, struct tuf_file *out)
{
    return metadata_entry(json_object_get(metadata->body, "meta"), file, false, out);
}

bool tuf_metadata_target(const struct tuf_metadata *metadata, struct bytes path,
                         struct tuf_file *out)
{
    const json_t *entry = json_object_getn(json_object_get(metadata->body, "targets"),
                                           (const char *)path.data, path.len);

    return entry != NULL && metadata_read_file(entry, true, out, NULL);
}

static const struct {
    const char *name;
    enum digest_alg alg;
} metadata_hashes[] = {{"sha256", DIGEST_SHA256}, {"sha512", DIGEST_SHA512}};

const char *tuf_file_hash(const struct tuf_file *file)
{
    for (size_t i = 0; i < GH_COUNT(metadata_hashes); i++) {
        const json_t *value = json_object_get(file->hashes, metadata_hashes[i].name);

        if (value != NULL) {
            return json_string_value(value);
        }
    }
    return NULL;
}

bool tuf_file_check(const struct tuf_file *file, struct bytes content, bool is_target,
                    enum gh_cause cause, struct gh_error *err)
{
    char hex[2 * DIGEST_MAX_BYTES + 1];
    struct digest digest;

    if (file->has_length && (uint64_t)file->length != content.len) {
        return gh_fail(err, cause, "a file of %zu bytes, its metadata says %lld", content.len,
                       (long long)file->length);
    }
    if (is_target && tuf_file_hash(file) == NULL) {
        return gh_fail(err, cause, "the target has no hash of a known algorithm");
    }
    for (size_t i = 0; i < GH_COUNT(metadata_hashes); i++) {
        const json_t *value = json_object_get(file->hashes, metadata_hashes[i].name);

        if (value == NULL) {
            continue;
        }
        GH_TRY(digest_compute(metadata_hashes[i].alg, content, &digest, err));
        bytes_hex_encode(digest_bytes(&digest), hex);
        if (!bytes_equal_cstr(sjson_string(value), hex)) {
            return gh_fail(err, cause, "a file hashes to %.64s, its metadata says %.64s", hex,
                           json_string_value(value));
        }
    }
    return true;
}
