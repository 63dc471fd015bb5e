"""Prose of the trades: contract clauses, ward notes and recipes, from own banks."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from bundled.tasks.task import Line, Task, pair, phrases, rows, text
from bundled.tasks.wheels import Wheels
from bundled.tasks.words import CITIES, GOODS

PARTIES = rows("""
Lessor | Lessee
Licensor | Licensee
Seller | Buyer
Employer | Contractor
Publisher | Author
Lender | Borrower
Operator | Member
Principal | Agent
""")
CLAUSES = phrases("""
{n}.{k} The {b} shall pay the {a} within {days} days of receipt of a valid invoice, failing which interest \
shall accrue at {k} per cent per annum.
{n}.{k} Neither party shall be liable for any failure to perform which arises from {force}, provided that \
notice is given within {days} days.
{n}.{k} The {a} may terminate this Agreement upon {days} days' written notice if the {b} commits a material \
breach and fails to remedy it.
{n}.{k} The {b} shall keep confidential all {secret} of the {a} and shall not disclose the same for a period of \
{k} years after termination.
{n}.{k} This Agreement shall be governed by the laws in force at {city}, and the courts of {city} shall have \
exclusive jurisdiction.
{n}.{k} The {b} warrants that the {good} delivered hereunder is free from defects in material and workmanship \
for {days} days.
{n}.{k} The {b} shall not assign its rights or obligations hereunder without the prior written consent of the \
{a}, which shall not be unreasonably withheld.
{n}.{k} Title to the {good} shall pass to the {b} only upon payment in full; risk shall pass upon delivery at {city}.
{n}.{k} The aggregate liability of the {a} under this Agreement shall in no event exceed {days},000 euros, save \
in the case of wilful misconduct.
{n}.{k} Any notice to the {a} shall be in writing and deemed received {k} days after dispatch by registered \
post to {city}.
{n}.{k} The {b} shall indemnify the {a} against all claims arising out of {force} or the misuse of the {good}.
{n}.{k} If any provision hereof is held void, the remainder shall continue in force and the parties shall \
replace the void provision in good faith.
{n}.{k} The {a} shall maintain insurance against {force} in an amount of not less than {days},000 euros for the \
term of this Agreement.
{n}.{k} The {b} shall permit the {a} to inspect the {secret} at its premises in {city} on {days} days' notice.
""")
FORCES = "flood|fire|strike of third parties|acts of public authority|epidemic|failure of carriers|storm|war".split("|")
SECRETS = "drawings|customer lists|price lists|source materials|formulas|business records|manuscripts".split("|")

COMPLAINTS = rows("""
chest tightness | CVS: HS I+II, no murmur | ECG, troponin, aspirin 300 mg
productive cough | Resp: coarse creps R base | CXR, sputum culture, amoxicillin 500 mg tds
R iliac fossa pain | Abdo: guarding RIF, BS present | FBC, CRP, surgical r/v, NBM
ankle injury | MSK: swelling lat. malleolus, NV intact | X-ray ankle, RICE, crutches
migraine with aura | Neuro: CN intact, no neck stiffness | sumatriptan 50 mg, dark room, r/v
wheeze | Resp: bilat. exp. wheeze, speaking full sentences | salbutamol neb, prednisolone 40 mg
dysuria | Abdo: suprapubic tenderness, no flank pain | urine dip, MSU, nitrofurantoin 100 mg bd
palpitations | CVS: irreg. irreg. pulse | ECG, TFTs, U&E, bisoprolol 2.5 mg
itchy rash | Skin: urticaria on trunk, airway clear | cetirizine 10 mg, avoid trigger
vertigo | Neuro: horizontal nystagmus, gait steady | Epley manoeuvre, prochlorperazine prn
fall at home | MSK: bruise L hip, weight bearing | X-ray pelvis, lying/standing BP, OT r/v
sore throat | ENT: tonsils inflamed, no exudate | Centor 2, fluids, paracetamol 1 g qds
epigastric pain | Abdo: soft, tender epigastrium | omeprazole 20 mg od, H. pylori test
laceration to hand | Skin: 3 cm clean wound, tendons intact | washout, 4 sutures, tetanus booster
low mood | MSE: flat affect, no SI, insight good | PHQ-9, sertraline 50 mg, r/v 2/52
""")
HISTORIES = "T2DM|HTN|asthma|nil|COPD|hypothyroid|IHD|CKD 3|migraine|gout".split("|")
PLACES = "home with safety net|ward|short stay unit|GP follow-up in 1/52|clinic in 2/52".split("|")

# dish | main | liquid | spice | garnish | pan
DISHES = rows("""
lentil soup | red lentils | vegetable stock | cumin | chopped parsley | pot
chickpea curry | chickpeas | coconut milk | turmeric | coriander leaves | deep pan
mushroom risotto | round rice | mushroom broth | black pepper | grated hard cheese | wide pan
tomato pasta | short pasta | crushed tomatoes | dried oregano | torn basil | saucepan
pumpkin stew | diced pumpkin | apple juice | smoked paprika | roasted seeds | casserole
fish pie | white fish | warm milk | nutmeg | buttered crumbs | baking dish
potato salad | waxy potatoes | white vinegar | mustard seed | chives | bowl
barley broth | pearl barley | beef stock | thyme | spring onions | pot
rice pudding | pudding rice | whole milk | cinnamon | toasted almonds | saucepan
bean chilli | kidney beans | dark beer | chilli flakes | sour cream | casserole
egg noodles | fresh noodles | soy broth | ginger | sesame seeds | wok
stuffed peppers | cooked millet | tomato juice | sweet paprika | crumbled feta | baking dish
onion tart | sliced onions | cream | caraway | fried sage | tart tin
apple crumble | sour apples | lemon juice | cardamom | oat crumbs | baking dish
chicken stew | chicken thighs | white wine | tarragon | lemon zest | casserole
spinach dumplings | chopped spinach | buttermilk | nutmeg | brown butter | pot
""")
RECIPES = phrases("""
Fry one onion in the {pan} until soft. Add {g} g {main} and 1 tsp {spice}, pour in {ml} ml {liquid} and simmer \
{min} minutes. Finish with {garnish}.
Serves {k}. Put {g} g {main} in a {pan} with {ml} ml {liquid}. Cover and cook gently for {min} minutes, stir in \
the {spice}, rest and top with {garnish}.
Warm {ml} ml {liquid} with a pinch of {spice}. Tip in {g} g {main}, cook {min} minutes on a low flame and \
scatter {garnish} over it. Enough for {k}.
Toast the {spice} in butter. Stir in {g} g {main}; add {ml} ml {liquid} little by little over {min} minutes. \
Serve {k} bowls with {garnish}.
Heat the oven to {heat} degrees. Mix {g} g {main}, {ml} ml {liquid} and the {spice} in a {pan}, bake {min} \
minutes and add {garnish}.
""")


def contract_clauses(random: Random, _: Wheels) -> Iterator[Line]:
    """Numbered clauses of imagined contracts."""
    while True:
        first, second = random.choice(PARTIES)
        words = {
            "a": first,
            "b": second,
            "n": random.randint(1, 18),
            "k": random.randint(2, 9),
            "days": random.choice((7, 10, 14, 21, 30, 45, 60, 90)),
            "force": random.choice(FORCES),
            "secret": random.choice(SECRETS),
            "city": random.choice(CITIES),
            "good": random.choice(GOODS),
        }
        yield text(random.choice(CLAUSES).format_map(words))


def ward_notes(random: Random, _: Wheels) -> Iterator[Line]:
    """Notes on imagined patients in a hospital's short hand."""
    while True:
        complaint, finding, plan = random.choice(COMPLAINTS)
        age, sex = random.randint(18, 91), random.choice("MF")
        signs = f"HR {random.randint(58, 118)}, BP {random.randint(96, 168)}/{random.randint(55, 98)}"
        signs += f", sats {random.randint(91, 100)}% RA, T {random.randint(360, 389) / 10}"
        past, hours = random.choice(HISTORIES), random.randint(1, 7)
        yield text(
            f"{age}{sex} c/o {complaint} {hours}/7. PMH {past}. O/E {signs}. {finding}. Plan: {plan}; \
{random.choice(PLACES)}."
        )


def recipes(random: Random, _: Wheels) -> Iterator[Line]:
    """A dish and how to cook it."""
    while True:
        dish, main, liquid, spice, garnish, pan = random.choice(DISHES)
        words = {
            "main": main,
            "liquid": liquid,
            "spice": spice,
            "garnish": garnish,
            "pan": pan,
            "g": random.randint(6, 20) * 25,
            "ml": random.randint(4, 20) * 50,
            "min": random.randint(3, 12) * 5,
            "heat": random.randint(16, 22) * 10,
            "k": random.randint(2, 6),
        }
        yield pair(f"Recipe for {dish}:", random.choice(RECIPES).format_map(words))


TASKS = (
    Task("contract-clauses", "prose", "numbered clauses of imagined contracts", "own", contract_clauses),
    Task("ward-notes", "prose", "notes on imagined patients in a hospital's short hand", "own", ward_notes),
    Task("recipes", "prose", "short recipes for plain dishes", "own", recipes, True),
)
