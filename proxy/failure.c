#include "proxy/failure.h"

#include <stdio.h>
#include <string.h>

#include "policy/fingerprint.h"

/* Of the cause, not the text: what a registry says differs from one moment to the next. */
static void failure_name(struct failure *out, const struct failure_about *about)
{
    const struct gh_error *error = &out->decision.error;
    struct fingerprint fingerprint;
    struct gh_error ignored = {0};
    struct digest digest;

    fingerprint_init(&fingerprint, "failure");
    fingerprint_put_text(&fingerprint, about->tenant);
    fingerprint_put_text(&fingerprint, about->fingerprint);
    fingerprint_put_text(&fingerprint, about->image);
    fingerprint_put_int(&fingerprint, about->outcome);
    fingerprint_put_int(&fingerprint, error->cause);
    if (fingerprint_final(&fingerprint, &digest, &ignored)) {
        decide_name_id(digest.value, out->decision.id);
    }
}

static size_t failure_len(int printed)
{
    return printed < 0 ? 0 : GH_MIN((size_t)printed, (size_t)FAILURE_MAX_MESSAGE - 64);
}

/* One line with everything a person needs: what, why, what to do. */
static size_t failure_tell(struct failure *out, const struct failure_about *about)
{
    const struct gh_error *error = &out->decision.error;
    enum gh_reason reason = gh_cause_reason(error->cause);
    const char *image = about->image[0] != '\0' ? about->image : "this";
    const char *text = error->text[0] != '\0' ? error->text : gh_cause_sentence(error->cause);
    const char *label = gh_reason_label(reason);

    if (reason == GH_REASON_NOT_FOUND) {
        return failure_len(snprintf(out->message, FAILURE_MAX_MESSAGE - 64, "%s", text));
    }
    if (about->outcome == DECIDE_UNDECIDED) {
        /* Clients show the message alone: it must say that nobody refused anything. */
        return failure_len(
            snprintf(out->message, FAILURE_MAX_MESSAGE - 64,
                     "%s cannot be served now, which is not a denial; try again: %s [%s].", image,
                     text, label));
    }
    return failure_len(snprintf(out->message, FAILURE_MAX_MESSAGE - 64, "%s is %s: %s [%s]. %s",
                                image, about->is_subject_broken ? "broken" : "denied", text, label,
                                gh_reason_help(reason)));
}

void failure_init(struct failure *out, const struct failure_about *about,
                  const struct gh_error *error)
{
    memset(out, 0, sizeof(*out));
    out->decision.outcome =
        about->outcome == DECIDE_UNDECIDED ? DECIDE_UNDECIDED : DECIDE_DENY; /* never an allow */
    out->decision.is_subject_broken = about->is_subject_broken;
    out->decision.error = *error;
    out->decision.fingerprint = about->fingerprint;
    out->decision.message = out->message;
    out->unnamed_len = failure_tell(out, about);
    if (gh_cause_reason(error->cause) != GH_REASON_NOT_FOUND) {
        failure_name(out, about);
    }
    if (out->decision.id[0] != '\0') {
        (void)snprintf(out->message + out->unnamed_len, FAILURE_MAX_MESSAGE - out->unnamed_len,
                       " Decision %s", out->decision.id);
    }
}

void failure_unname(struct failure *failure)
{
    failure->decision.id[0] = '\0';
    failure->message[failure->unnamed_len] = '\0';
}
