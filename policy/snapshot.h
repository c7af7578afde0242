/*
 * What a tenant's policy is compiled to: policies, the table of leaves, exceptions and the indexes
 * that find them. Plain data, filled by config and trust, read by decide.
 *
 * Threads: immutable once the configuration that owns it stands; lives as long as that.
 */
#ifndef POLICY_SNAPSHOT_H
#define POLICY_SNAPSHOT_H

#include "crypto/digest.h"
#include "gatehouse.h"
#include "policy/image.h"
#include "policy/require.h"

enum policy_mode { POLICY_DENY = 0, POLICY_WARN, POLICY_AUDIT };
const char *policy_mode_label(enum policy_mode mode);

/* A policy's mode holds until `until_unix_s` (exclusive); the last stage's is INT64_MAX. */
struct policy_stage {
    enum policy_mode mode;
    int64_t until_unix_s;
};

enum policy_expr_kind { POLICY_LEAF, POLICY_ALL, POLICY_ANY, POLICY_AT_LEAST };

struct policy_expr {
    enum policy_expr_kind kind;
    const struct require *leaf; /* POLICY_LEAF */
    size_t threshold;           /* POLICY_AT_LEAST: distinct signing authorities */
    struct policy_expr *items;
    size_t count;
};

struct policy {
    const char *name;
    const char *owner; /* "" where none is named */
    size_t index;      /* in the snapshot's policies */
    bool is_baseline;
    bool is_each;            /* platforms: each */
    bool is_digest_required; /* require_digest */
    const char *const *deny_tags;
    size_t deny_tag_count;
    const struct policy_stage *stages;
    size_t stage_count;
    struct policy_expr expr; /* POLICY_ALL over `require` */
    const struct image_pattern *images;
    size_t image_count;
    const struct image_pattern *excepts;
    size_t except_count;
    const char *file;
    uint32_t line;
};

/* The mode in force at NOW. */
enum policy_mode policy_mode_at(const struct policy *policy, int64_t now_unix_s);

struct exception {
    const char *id;
    size_t index; /* in the snapshot's exceptions */
    const struct image_pattern *images;
    size_t image_count;
    const uint32_t *policies; /* indexes; sorted */
    size_t policy_count;
    bool is_for_uncovered;    /* not_covered */
    const char *const *waive; /* labels; none: all */
    size_t waive_count;
    const char *owner;
    const char *approved_by;
    const char *justification;
    const char *compensating_control;
    int64_t created_unix_s;
    int64_t expires_unix_s; /* exclusive; of the last renewal */
    size_t renewal_count;
    uint32_t line;
};

/* In force at NOW: from created up to, and not at, expires. */
bool exception_in_force(const struct exception *exception, int64_t now_unix_s);
/* Whole days until it expires, rounded up; 0 when it has expired. */
int64_t exception_days_left(const struct exception *exception, int64_t now_unix_s);

/* Whether it is an exception from POLICY, and whether it waives the requirement of that label
 * ("signature:ci", "deny_tags", "require_digest"). */
bool exception_concerns(const struct exception *exception, const struct policy *policy);
bool exception_waives(const struct exception *exception, const char *label);

struct snapshot {
    const char *tenant;
    const struct policy *policies; /* sorted by name */
    size_t policy_count;
    const struct require *const *leaves; /* leaves[i]->index == i */
    size_t leaf_count;
    const struct signer *const *signers;
    size_t signer_count;
    const struct exception *exceptions; /* sorted by id */
    size_t exception_count;
    const struct image_index *images;          /* ids: policy index * 2, + 1 for `except` */
    const struct image_index *exception_index; /* ids: exception index */
    struct digest fingerprint;    /* policies, exceptions, trust material, verifier version */
    const char *fingerprint_text; /* "sha256:…" */
};

#endif
