"""The search for decisions, from out-of-fold predictions alone; one caller, the command `tune`.

pixel_samples.py   the pixels that heads and weights can change     head_fit.py, weight_fit.py
mixture_search.py  which heads and weights gain                     thresholds.py  and empty rules
cv_views.py        each image through mixtures that never saw it    postprocess_search.py
step_selection.py  steps kept where their gain is significant       nested_cv.py   the honest score
volume_judgement.py  all that was chosen, on whole volumes          search.py      all of it
parallel.py        a pass over images in several processes
"""
