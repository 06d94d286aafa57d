"""The recipe for the time at hand: read off the data, measured on the machine, reasoned line by line.

data_facts.py  what the data say: sizes, classes, empty masks, what each input size can reach at most
recognition.py at which size images with a mask are told from images without one
step_costs.py  seconds and memory of real steps, measured once and kept
choice.py      facts, costs and time → a recipe, each value with its reason
plan_file.py   folds/<competition>.plan.toml: the plan as it is read, edited and repeated
"""
