#include "proxy/withdrawal.h"

#include <string.h>

#include "cache/verdict_cache.h"
#include "crypto/evidence.h"
#include "crypto/key.h"
#include "crypto/signer.h"
#include "metrics/log.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "proxy/gateway.h"
#include "proxy/recorder.h"
#include "proxy/verdicts.h"

#define WITHDRAWAL_MAX_BYTES (40u * 1024) /* of a record, for the images */

struct withdrawal {
    struct gateway *gateway;
    const struct config_tenant *tenant;
    const struct signer *signer;
    const struct signer_key *key;
    const char *reason;
    struct text images; /* JSON objects */
    size_t count;
    size_t named;
};

static bool withdrawal_on_verdict(struct bytes key, struct bytes value, int64_t until_unix_s,
                                  const struct verdict_cache_use *use, void *arg)
{
    struct withdrawal *self = arg;
    struct verdicts_about about;

    if (!verdicts_key_read(key, &about) || !bytes_equal_cstr(about.tenant, self->tenant->name)) {
        return true;
    }
    self->count++;
    if (self->named == WITHDRAWAL_MAX_IMAGES || self->images.len > WITHDRAWAL_MAX_BYTES) {
        return true;
    }
    text_put(&self->images, self->named++ > 0 ? ",{" : "{");
    text_put_key(&self->images, "image");
    text_put_json_bytes(&self->images, about.image.data, about.image.len);
    text_put_key(&self->images, "digest");
    text_put_json_bytes(&self->images, about.digest.data, about.digest.len);
    verdicts_put_use(&self->images, use);
    text_put(&self->images, "}");
    log_write(self->gateway->log,
              &(struct log_event){.level = LOG_WARN, .reason = "trust_withdrawn"},
              "%.*s@%.*s was allowed on the key %s of signer %s, which is %s; pulled by %s%s%s",
              (int)about.image.len, (const char *)about.image.data, (int)about.digest.len,
              (const char *)about.digest.data, self->key->source, self->signer->name, self->reason,
              use->who_count > 0 ? use->who[0].name : "nobody known by name",
              use->who_count > 1 ? ", " : "", use->who_count > 1 ? use->who[1].name : "");
    return true;
}

static void withdrawal_tell(struct withdrawal *self)
{
    struct verdict_cache_rest rest = {.kind = EVIDENCE_REST_KEY};
    char fingerprint[DIGEST_MAX_TEXT];
    struct text members;

    text_init(&self->images, 2 * WITHDRAWAL_MAX_BYTES);
    self->count = 0;
    self->named = 0;
    memcpy(rest.id, key_fingerprint(self->key->key)->value, sizeof(rest.id));
    verdict_cache_each(self->gateway->verdicts, &rest, withdrawal_on_verdict, self);
    digest_format(key_fingerprint(self->key->key), fingerprint);
    text_init(&members, 3 * WITHDRAWAL_MAX_BYTES);
    text_put(&members, "\"tenant\":");
    text_put_json(&members, self->tenant->name);
    text_put_key(&members, "signer");
    text_put_json(&members, self->signer->name);
    text_put_key(&members, "key");
    text_put_json(&members, self->key->source);
    text_put_key(&members, "fingerprint");
    text_put_json(&members, fingerprint);
    text_put_key(&members, "reason");
    text_put_json(&members, self->reason);
    text_printf(&members, ",\"verdicts\":%zu", self->count);
    text_put_key(&members, "images");
    text_printf(&members, "[%s]", text_cstr(&self->images));
    if (self->gateway->recorder != NULL) {
        (void)recorder_event(self->gateway->recorder, "revocation", text_cstr(&members));
    }
    log_write(
        self->gateway->log, &(struct log_event){.level = LOG_WARN, .reason = "trust_withdrawn"},
        "the key %s of signer %s, tenant %s, is %s: %zu stored verdicts rested on it, none is "
        "served any more",
        self->key->source, self->signer->name, self->tenant->name, self->reason, self->count);
    text_done(&members);
    text_done(&self->images);
}

/* Why AFTER no longer trusts the key; NULL: some signer of the tenant still does. */
static const char *withdrawal_reason(const struct config_tenant *after, const struct key *key)
{
    static const char *const reasons[] = {[SIGNER_NOT_REVOKED] = NULL,
                                          [SIGNER_COMPROMISED] = "revoked (compromise)",
                                          [SIGNER_SUPERSEDED] = "revoked (superseded)",
                                          [SIGNER_RETIRED] = "revoked (retired)"};
    const char *reason = "removed";

    for (size_t s = 0; after != NULL && s < after->snapshot.signer_count; s++) {
        const struct signer *signer = after->snapshot.signers[s];

        for (size_t k = 0; k < signer->key_count; k++) {
            if (key_equal(signer->keys[k].key, key)) {
                reason = reasons[signer->keys[k].revoked];
                if (reason == NULL) {
                    return NULL;
                }
            }
        }
    }
    return reason;
}

size_t withdrawal_report(struct gateway *gateway, const struct config *before,
                         const struct config *after)
{
    struct withdrawal self = {.gateway = gateway};
    size_t count = 0;

    for (size_t t = 0; t < before->tenant_count; t++) {
        self.tenant = &before->tenants[t];
        for (size_t s = 0; s < self.tenant->snapshot.signer_count; s++) {
            self.signer = self.tenant->snapshot.signers[s];
            for (size_t k = 0; k < self.signer->key_count; k++) {
                self.key = &self.signer->keys[k];
                if (self.key->revoked != SIGNER_NOT_REVOKED) {
                    continue;
                }
                self.reason =
                    withdrawal_reason(config_tenant_find(after, self.tenant->name), self.key->key);
                if (self.reason != NULL) {
                    withdrawal_tell(&self);
                    count++;
                }
            }
        }
    }
    return count;
}
