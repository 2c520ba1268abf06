"""The sentences of captions that are composed from labels (report_captions.py): one fact, in many phrasings.

`[a|b]` are alternatives, as in phantom/grammar.py. Words for findings, categories and what follows from them are those
of the BI-RADS lexicon; the sentences are our own. A finding is asserted in a sentence that denies nothing, so that
`caption_findings.findings_of` reads back what was put in.
"""

SIDES = {"L": "left", "R": "right"}
VIEWS = {
    "CC": ("CC", "craniocaudal", "craniocaudal (CC)"),
    "MLO": ("MLO", "mediolateral oblique", "mediolateral oblique (MLO)"),
}

OPENING = (
    "{Side} {view} [mammogram|view|projection|image] [shows|demonstrates|reveals|depicts] {tissue}.",
    "[The|This] {view} [mammogram|view|projection|image] of the {side} breast [shows|demonstrates|reveals|depicts] "
    "{tissue}.",
    "{Side} breast, {view} [view|projection|mammogram]: {tissue}.",
    "[On|In] [the|this] {side} {view} [mammogram|view|projection] [there is|we see|one recognises] {tissue}.",
    "[Mammogram|Mammography] of the {side} breast in {view} [projection|view], with {tissue}.",
)
OPENING_BARE = (
    "{Side} {view} [mammogram|view|projection|image].",
    "[Mammogram|Mammography] of the {side} breast[, {view} view|, {view} projection| in {view} projection].",
    "{Side} breast, {view} [view|projection|mammogram].",
)
TISSUE_LATER = (
    "[The background is|In the background lies|The rest of the breast shows|Elsewhere there is] {tissue}.",
    "[Background|Breast composition|Composition]: {tissue}.",
)
TISSUE = {
    "A": (
        "almost entirely fatty [breast tissue|parenchyma|tissue]",
        "[breast tissue|parenchyma] that is almost entirely [fat|fatty]",
    ),
    "B": (
        "scattered [areas|islands] of fibroglandular [density|tissue]",
        "[breast tissue|parenchyma|fat] with scattered fibroglandular [densities|tissue]",
    ),
    "C": (
        "heterogeneously dense [breast tissue|parenchyma|fibroglandular tissue]",
        "heterogeneously dense [breast tissue|parenchyma], which may obscure small masses",
    ),
    "D": (
        "extremely dense [breast tissue|parenchyma|fibroglandular tissue]",
        "extremely dense [breast tissue|parenchyma], which lowers the sensitivity of mammography",
    ),
}
MIAS_TISSUE = {
    "F": ("[fatty breast tissue|fatty tissue|fatty parenchyma]",),
    "G": ("[fatty-glandular breast tissue|fatty-glandular tissue|fatty-glandular parenchyma]",),
    "D": ("[dense-glandular breast tissue|dense-glandular tissue|dense-glandular parenchyma]",),
}

# What may stand around a mass's words; each is left out where its word is not known.
MASS = (
    "{shape} {margin} {density} {noun}",
    "{density} {shape} {noun} {with_margin}",
    "{shape} {noun} {with_margin} {and_density}",
    "{margin} {density} {noun} {of_shape}",
    "{density} {noun} {of_shape} {with_margin}",
)
MASS_DENSITIES = {"high": "high-density", "equal": "equal-density", "low": "low-density"}
WITH_MARGIN = "[with {margin} margins|with {margin} borders|with {a_margin} margin]"
OF_SHAPE = "[of {shape} shape|{shape} in shape]"
MASS_DENSITY_NOUN = {
    "high": "of high density",
    "equal": "of equal density",
    "low": "of low density",
    "fat-containing": "containing fat",
}
CALCIFICATIONS = {  # by what is known: morphology, distribution
    (True, True): (
        "{morphology} calcifications in a {distribution} distribution",
        "{morphology} calcifications of {distribution} distribution",
        "{distribution} {morphology} calcifications",
        "{distribution} calcifications of {morphology} morphology",
    ),
    (True, False): ("{morphology} calcifications", "calcifications of {morphology} morphology"),
    (False, True): ("{distribution} calcifications", "calcifications in a {distribution} distribution"),
    (False, False): ("calcifications",),
}
OTHERS = {
    "architectural distortion": ("[an area of |a zone of |]architectural distortion",),
    "asymmetry": ("an asymmetry", "an area of asymmetry"),
    "focal asymmetry": ("[a |an area of ]focal asymmetry",),
    "global asymmetry": ("global asymmetry", "a global asymmetry"),
    "skin thickening": ("skin thickening", "thickening of the skin"),
    "skin retraction": ("skin retraction", "retraction of the skin"),
    "nipple retraction": ("nipple retraction", "retraction of the nipple"),
    "suspicious lymph node": ("a suspicious lymph node", "a lymph node of suspicious appearance"),
    "other": ("[an unclassified finding|a finding of another kind]",),
}

SEEN = (
    "[There {are}|The image shows|The study shows|Note] {finding} {place}.",
    "{Finding} {are} [seen|noted|identified|present|visible|evident|apparent] {place}.",
    "{Finding} {place} [can be seen|can be recognised|{are} noted|{are} demonstrated].",
)
ALSO_SEEN = (
    "[In addition|Also|Furthermore|Besides], {finding} {are} [seen|noted|identified|present|visible] {place}.",
    "[There {are} also|The image also shows] {finding} {place}.",
)
PLACE = ("[in|within] the {side} breast", "in this breast", "")
PLACE_PART = (
    "in the {part} [part|portion|aspect] of the {side} breast",
    "[in its|in the] {part} [part|portion]",
)

NEGATIVE = (
    "[No|There is no] [suspicious |dominant |]mass, [architectural |]distortion or [suspicious |]calcification"
    "[ is seen| is present|].",
    "[No|There is no] [mass|dominant mass], [asymmetry|focal asymmetry], [architectural |]distortion or "
    "[suspicious|abnormal] calcification.",
    "[The parenchyma|The breast|The architecture of the breast] is [unremarkable|normal|regular], "
    "[with no|without] [mass|suspicious mass], distortion or [suspicious|abnormal] calcification.",
    "[No|There is no] [mammographic|radiographic] [evidence|sign] of malignancy.",
    "[Nothing abnormal is seen|The breast is unremarkable|No abnormality is seen].",
)
NOT_SUSPICIOUS = (
    "[No|There is no] [mammographic|radiographic] [evidence of|sign of|finding suspicious for] malignancy.",
    "",
)

# The category in words, alone and with what was found, and then what the lexicon advises.
CATEGORY = {
    0: ("[Incomplete|Incomplete assessment|The assessment is incomplete]",),
    1: ("[Negative|Negative examination|Negative mammogram|Negative study]",),
    2: ("[Benign|Benign appearance|Benign assessment]",),
    3: ("[Probably benign|Probably benign appearance|Probably benign assessment]",),
    4: ("[Suspicious|Suspicious appearance|Suspicious for malignancy]",),
    5: ("[Highly suggestive of malignancy|Appearance highly suggestive of malignancy]",),
    6: ("[Known|Proven|Known biopsy-proven|Biopsy-proven] malignancy",),
}
CATEGORY_OF = {
    0: (
        "[Incomplete|Incomplete assessment] because of {thing}",
        "{Thing}, [incompletely assessed|in need of additional imaging evaluation]",
    ),
    2: ("Benign {thing}", "{Thing}, [benign|of benign appearance]"),
    3: ("Probably benign {thing}", "{Thing}, probably benign", "{Thing}, in all probability benign"),
    4: ("Suspicious {thing}", "{Thing}, [suspicious|suspicious for malignancy]"),
    5: ("{Thing}, highly suggestive of malignancy", "{Thing} highly suggestive of malignancy"),
}
ADVICE = {
    0: (
        "[additional imaging|further imaging|recall for additional imaging|additional imaging evaluation|comparison "
        "with prior mammograms] [is needed|is advised|is recommended]",
    ),
    1: ("[routine screening|routine mammographic screening][ is advised| is recommended|]",),
    2: ("[routine screening|routine mammographic screening][ is advised| is recommended|]",),
    3: (
        "[short-interval follow-up|follow-up in six months|six-month follow-up|short-interval mammographic follow-up]"
        "[ is advised| is recommended| is suggested|]",
    ),
    4: ("[tissue diagnosis|biopsy|tissue sampling] [is advised|is recommended|should follow]",),
    5: ("[tissue diagnosis|biopsy|tissue sampling] [is advised|is recommended|is required]",),
    6: (
        "[treatment is to follow|surgical excision when clinically appropriate|definitive treatment is to follow]",
    ),
}
NUMBER = ("BI-RADS {birads}", "BI-RADS category {birads}", "[Assessment|Category]: BI-RADS {birads}")
NORMAL = ("Normal [mammogram|examination|study].", "[Negative|Unremarkable] [mammogram|examination|study].")

DIAGNOSIS = (
    "[The final diagnosis is|The final diagnosis was|The outcome was|The final outcome was] {pathology}.",
    "[Final diagnosis|Outcome]: {pathology}.",
)
DIAGNOSIS_SECTION = "[{Pathology}|{Pathology} lesion|Proved {pathology}]."
