"""The sentences of phantom captions: one fact, many phrasings (see grammar.py for the brackets).

The words for findings are those of the BI-RADS lexicon; the sentences are our own. A density is named by
its letter's marker (DENSITY_MARKER), which no other sentence here contains, so that captions can be checked.
"""

DENSITY_MARKER = {
    "A": "almost entirely",
    "B": "scattered",
    "C": "heterogeneously dense",
    "D": "extremely dense",
}

HISTORY_SCREENING = (
    "{An_age}-year-old [woman|patient|asymptomatic woman|woman without symptoms|healthy woman] "
    "[seen|presenting|referred|examined|imaged] for [routine|annual|regular|periodic|biennial] screening[ "
    "mammography|].",
    "[Routine|Annual|Regular|Periodic|Biennial] screening [mammogram|mammography|examination|study] in "
    "{an_age}-year-old "
    "[woman|patient|asymptomatic woman|woman without complaints].",
    "[Screening mammography|A screening study|A routine check-up] of {an_age}-year-old [woman|patient]"
    "[ with no breast complaints| with no symptoms| who feels well| without previous breast disease|].",
)
HISTORY_PALPABLE = (
    "{An_age}-year-old [woman|patient] [with|who presents with|complaining of|referred for] "
    "a [palpable|new|firm|hard|painless|growing] [lump|mass|nodule|thickening|lesion] in the {side} breast.",
    "{An_age}-year-old [woman|patient] who [felt|noticed|discovered|found] a [lump|mass|nodule|firm area] "
    "in her {side} "
    "breast [on self-examination|two months ago|some weeks earlier|while bathing|recently].",
    "[Palpable|Newly palpable|Clinically palpable] {side} breast [mass|lump|abnormality|thickening] "
    "in {an_age}-year-old [woman|patient].",
)
HISTORY_RECALL = (
    "{An_age}-year-old [woman|patient] [recalled|called back|asked to return] after [an abnormal|a positive] "
    "[screening mammogram|screening study|baseline mammogram] of the {side} breast.",
    "{An_age}-year-old [woman|patient] with [an abnormality|a new finding|a change|a questionable area] "
    "on the {side} "
    "[at screening|on her screening study|on routine mammography|on her annual study].",
)
HISTORY_KNOWN = (
    "{An_age}-year-old [woman|patient] with [biopsy-proven|histologically proven|recently diagnosed|known] "
    "[carcinoma|malignancy|cancer] of the {side} breast[, before treatment|, before surgery|, for staging|].",
    "[Preoperative|Staging|Pretreatment] [study|mammography|examination] of {an_age}-year-old "
    "[woman|patient] with a "
    "[proven|known|confirmed] {side} breast [cancer|carcinoma|malignancy].",
)
HISTORY_MORE = (
    "[Her mother|Her sister|A maternal aunt|Her grandmother|One cousin] [had|was treated for|died of] "
    "breast cancer.",
    "[There is no|She reports no|No] family history of breast [cancer|carcinoma|disease].",
    "[No|She has no] [previous|prior|earlier|outside] [mammograms|studies|films][ for comparison|].",
    "[She takes|She is on|She stopped taking] hormone [replacement|replacement therapy|therapy].",
    "Gravida [2|3|4], para [1|2].",
    "[Physical|Clinical] examination [was|had been] [unremarkable|without further findings|otherwise "
    "normal].",
)

VIEW_NAMES = {
    "CC": ("CC", "craniocaudal", "craniocaudal (CC)"),
    "MLO": ("MLO", "mediolateral oblique", "oblique (MLO)"),
}
VIEWS_OPENING = (
    "{Side} {views} {view} [show{s}|demonstrate{s}|reveal{s}|display{s}] {density}.",
    "{Views} {view} of the {side} {breast} [show{s}|demonstrate{s}|reveal{s}|display{s}] {density}.",
    "[On|In] the {side} {views} {view} [one sees|one finds|note] {density}.",
    "{Side} {views} {view}: {density}.",
    "[Shown|Presented|Reproduced] [here |]is the {side} {views} {view}, with {density}.",
)
VIEWS_OPENING_SEVERAL = (
    *VIEWS_OPENING[:4],
    "[Shown|Presented|Reproduced] [here |]are {side} {views} {view}, with {density}.",
)
DENSITY_NOUN = {
    "A": (
        "[breast tissue|parenchyma|tissue|a breast pattern|a parenchymal pattern] [composed|consisting] "
        "almost entirely of "
        "[fat|fatty tissue|adipose tissue]",
        "[tissue|breast tissue|parenchyma|a background] that [is|has become] almost entirely "
        "[fatty|replaced by fat|fat|radiolucent fat]",
    ),
    "B": (
        "scattered [areas|islands|zones|regions] of [fibroglandular density|fibroglandular "
        "tissue|glandular tissue]",
        "[mostly fatty|mainly fatty|predominantly fatty] tissue with scattered [fibroglandular|glandular] "
        "[densities|tissue|islands|remnants]",
        "scattered [fibroglandular|glandular] [densities|tissue|remnants|elements] [in a fatty "
        "breast|within fat|]",
    ),
    "C": (
        "heterogeneously dense [tissue|breast tissue|parenchyma|fibroglandular tissue|glandular tissue]"
        "[, which may obscure small masses|, which could hide a small mass|, which limits sensitivity|]",
        "[a|an overall] heterogeneously dense [parenchymal pattern|breast "
        "pattern|pattern|background|glandular pattern]",
    ),
    "D": (
        "extremely dense [tissue|breast tissue|parenchyma|fibroglandular tissue|glandular tissue]"
        "[, which lowers the sensitivity of mammography|, which can hide a lesion|, which limits "
        "evaluation|]",
        "[an|an overall] extremely dense [parenchymal pattern|breast pattern|pattern|background]",
    ),
}

MASS = (
    "{size} {shape}, {margin}, {density} [mass|nodule|lesion]",
    "{shape}, {density} [mass|nodule|lesion] with {margin} [margins|borders|edges][ of {size_noun}| "
    "measuring {size_noun}|]",
    "{density} [mass|nodule|lesion] of {shape} shape with [{a_margin} margin|{margin} margins|{margin} "
    "borders]",
    "{margin}, {shape}, {density} [mass|nodule|lesion][, {size_noun} in size| of {size_noun}|]",
)
CALCIFICATIONS = (
    "[a group|a collection|an area|a region] of {morphology} calcifications [in a {distribution}|with a "
    "{distribution}|"
    "of {distribution}] [distribution|arrangement|pattern]",
    "{distribution} {morphology} [calcifications|microcalcifications|calcific particles]"
    "[ spanning {size_noun}| over {size_noun}| extending over {size_noun}|]",
    "{morphology} [calcifications|microcalcifications|calcific particles] in a {distribution} "
    "[distribution|arrangement|pattern]",
)
DISTORTION = (
    "[an area|a zone|a focus|a region] of architectural distortion[ with radiating strands| with "
    "converging lines|"
    " without a central mass| with straightened trabeculae|][ measuring {size_noun}| spanning {size_noun}|]",
    "architectural distortion [with spicules that radiate from one point|with tethered trabeculae|with "
    "retracted strands|"
    "with converging lines|of {size_noun}|extending over {size_noun}]",
)
ASYMMETRY = (
    "[{a_type}|{a_type}|a region of {type}] [without a definite mass|without convex borders|with concave "
    "borders|"
    "interspersed with fat|of {size_noun}|measuring {size_noun}|]",
    "{a_type} [of parenchymal texture|of glandular texture|spanning {size_noun}|with ill-seen limits|]",
)
SEEN = (
    "[There {are}|One finds|Note|The study shows|Mammography shows] {finding} {place}.",
    "{Finding} {are} [seen|present|visible|noted|identified|apparent|demonstrated] {place}.",
    "{Place}, {finding} {are} [seen|present|visible|noted|identified|apparent].",
)
ALSO_SEEN = (
    "[In addition|Also|Besides|Furthermore], {finding} {are} [seen|present|visible|noted] {place}.",
    "[There {are} also|One also finds|Note also] {finding} {place}.",
)
ONE_VIEW = (
    "[It is|This is] [seen|visible|apparent|shown] [in|on] the {view} [view|projection|image] [only|alone]."
)
PLACE = (
    "in the {quadrant} [quadrant|aspect|part|region|portion] of the {side} breast{more}",
    "in the {side} breast, in [its|the] {quadrant} [quadrant|aspect|part|region|portion]{more}",
    "in the {side} {quadrant} [quadrant|region|breast]{more}",
)
PLACE_CENTRAL = (
    "in the central [portion|part|region|third] of the {side} breast{more}",
    "[behind the nipple|behind the areola], in the central {side} breast{more}",
    "in the {side} central [breast|region|portion]{more}",
)
PLACE_MORE = (  # the hours first: a central finding has none
    "[at|near|toward|about] {hour} o'clock",
    "[at|near|toward|about] the {hour} o'clock position",
    "",
    "",
    "at {depth} depth",
    ", {depth} [depth|third]",
)
NOTHING = (
    "No [dominant|suspicious|focal|discrete] mass, [architectural |]distortion or "
    "[suspicious|clustered|abnormal] "
    "[calcification|microcalcification] is [seen|present|visible|found].",
    "[There is no|One finds no] [dominant|suspicious|focal|discrete] mass, [architectural |]distortion or "
    "[suspicious|clustered|abnormal] [calcification|microcalcification].",
    "[The parenchyma|The architecture|The tissue|The breast pattern] is "
    "[undisturbed|regular|preserved|orderly], with no "
    "[mass|focal lesion|dominant mass] and no [suspicious|clustered|malignant-appearing] calcifications.",
    "[No|There is no|One finds no] [mammographic|radiographic] [sign|evidence|feature|indication] of "
    "malignancy.",
)
FILLERS = (
    "[The skin and nipple|Skin and nipple] are [unremarkable|normal|intact|not retracted].",
    "[No|There is no|One finds no] skin thickening or nipple retraction.",
    "[The axillary region|The visible axilla|The axilla, as far as it is shown,] is "
    "[unremarkable|normal|free of enlarged nodes].",
    "[The subcutaneous fat|The retromammary fat|The fat before the chest wall] is [clear|well "
    "seen|preserved].",
    "[Positioning|Compression|Technical quality] is [adequate|satisfactory|good][, and the tissue is well "
    "shown|].",
)

IMPRESSION = {
    0: (
        "[Incomplete|Needs further imaging|Indeterminate]: {thing}; [spot compression views|additional "
        "views|magnification "
        "views|comparison films][ and ultrasound|] are [needed|recommended|advised|requested].",
        "{Thing}, [incompletely assessed|not yet characterized|assessment incomplete]; [additional|further|"
        "supplementary] [imaging|evaluation|work-up|mammography] [needed|recommended|advised].",
    ),
    1: (
        "[Negative|Normal|Unremarkable] [mammogram|examination|study|mammographic examination].",
        "[No|There is no] [evidence of malignancy|abnormality|sign of cancer|sign of malignancy][; "
        "routine screening is "
        "advised|; return in one year|; annual screening|].",
    ),
    2: (
        "[Benign|Typically benign|Characteristically benign] {thing}[; no further work-up|; routine "
        "screening|; no biopsy "
        "needed|].",
        "[Benign finding|Benign change|Benign appearance]: {thing}.",
    ),
    3: (
        "[Probably|Most likely|Likely] benign {thing}[; short-interval follow-up|; six-month follow-up|; "
        "control in six "
        "months|].",
    ),
    4: (
        "[Suspicious|Suspicious-appearing|Moderately suspicious] {thing}[; biopsy is recommended|; tissue "
        "diagnosis is "
        "advised|; biopsy indicated|; core biopsy is advised|].",
        "{Thing}, [suspicious|suspicious for malignancy|of concern]; [biopsy|core biopsy|tissue "
        "sampling|needle biopsy] "
        "[recommended|advised|indicated].",
    ),
    5: (
        "{Thing}, [highly suggestive of malignancy|highly suspicious for malignancy|almost certainly "
        "malignant|typical of "
        "carcinoma].",
        "[Highly suspicious|Malignant-appearing|Cancerous-looking] {thing}[; biopsy is mandatory|; "
        "carcinoma is likely|"
        "; malignancy until proven otherwise|].",
    ),
    6: (
        "[Known|Biopsy-proven|Histologically proven|Established] [carcinoma|malignancy|cancer][ "
        "presenting as {thing_a}|"
        " seen as {thing_a}|].",
    ),
}
CATEGORY = ("BI-RADS [category |]{birads}.", "[Assessment|Final assessment|Category]: BI-RADS {birads}.")
HISTOPATHOLOGY = (
    "{Pathology}.",
    "[Core biopsy|Needle biopsy|Biopsy|Stereotactic biopsy|Histology|Excision] "
    "[showed|revealed|yielded|gave|confirmed] "
    "{pathology}.",
    "{Pathology} [on core biopsy|at biopsy|at excision|on histology|at surgery].",
)
