"""Podium: from the organisers' download to a checked submission.

The pipeline in order; each step is a command, takes what the one before it left on disk, and
leaves a plain value or a readable file with a receipt beside it:

    step        takes                               gives
    demo        nothing                             a generated competition with its solution
    new         a download, a preset                competition.toml
    doctor      competition.toml, the data          what is wrong with the data, before training
    folds       catalog, labels                     folds/<competition>.csv
    plan        data, timed steps, minutes          folds/<competition>.plan.toml: the recipe "auto"
    train       images, labels, folds, a recipe     runs/…/<member>/fold-k/checkpoint.pt, history.csv
                                                    and examples.png, curves.png
    soup        checkpoints of several seeds        runs/…/<member>/fold-k/checkpoint.pt of their mean
    predict     checkpoints                         runs/…/fold-k/oof and test: stored logits
    ensemble    out-of-fold stores, labels          ensemble.json: members, weights, scores
    tune        the same, ensemble.json             decisions.json: heads, weights, thresholds, …
    view        stores, labels, rounds, a browser   pseudo/<competition>/marks.csv
    submit      test stores, decisions.json         submissions/<competition>/<entry>.csv, checked
    pseudo      test stores or a csv                pseudo/<competition>/<round>/labels.csv
    score       a submission, a solution            <entry>.score.json
    vote        submissions                         the hard vote of them, a submission
    holdout     predictions of the holdout          its score, once
    leaderboard submissions, scores                 a table; how sure its order is
    status      receipts                            done, outdated or to do, and why
    ablation    stores and scores of its trials     runs/<competition>/ablations/<name>.md, .csv, .png
    skeleton    labels or a submission              length and thickness of elongated masks
    models      recipes                             what each network costs
    export      a checkpoint                        model.onnx, model.pt2, checked
    machine     what the machine is                 what is chosen of it: device, dtype, workers, …
    run GOAL    any of the above                    whatever is missing before it, then the goal

A mask is `masks.Runs` all the way: sorted run boundaries, dense only inside the network. A
*member* is a recipe with its seed and pseudo round; an *entry* is the members and folds of one
submission.

Shape letters: B batch, K classes, H W an image's native size, h w the size the network sees,
h' w' the size of its logits, P bit planes (8 classes each).

docs/architecture.md has the rooms, and the way of one image through them.
"""
