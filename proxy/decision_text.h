/*
 * Decisions as people and programs read them: the JSON object of `verify --output json`, the admin
 * API and `why`, and the text of the command line.
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_DECISION_TEXT_H
#define PROXY_DECISION_TEXT_H

#include <jansson.h>

#include "gatehouse.h"
#include "policy/decide.h"

struct text;

/* "cosign-signature", "bundle", … */
const char *decision_evidence_label(enum evidence_kind kind);

/*
 * One object: image, digest, verdict, reason, cause, message, help, policies that failed, warnings,
 * exceptions, fingerprint, id, requirements with their candidates (where DECISION was explained).
 */
void decision_text_json(struct text *out, const char *image, const char *digest,
                        const struct decision *decision, const struct decide_plan *plan);

/* The same for people, from that object. */
void decision_text_people(struct text *out, const json_t *object);

#endif
